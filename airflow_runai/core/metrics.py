"""
The metrics that an evaluation wrote: names and numbers, and nothing else.

The file lies where the training may write, so it is not trusted. A text in it may be a secret that
was never meant to get here; it is refused, and the error names its key, never its value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping

from airflow_runai.core.texts import cut
from airflow_runai.errors import MetricsError

#: They go into the log and into XCom.
MAX_METRICS = 1000
MAX_NAME_LENGTH = 200
#: The largest whole number that Airflow can send; larger ones are rounded.
_MAX_INTEGER = 2**63 - 1
_KINDS = {
    str: "a text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def parse_metrics(raw: bytes, where: str) -> dict[str, float]:
    """
    Read a flat JSON object of numbers.

    NaN and Infinity, which are not JSON, count as numbers that are not finite.

    :param where: the file's name in errors.
    :raises MetricsError: for anything else; it names the keys.
    """
    try:
        metrics = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MetricsError(
            f"{where}: not JSON ({error}); write it to a temporary name and rename it"
        ) from None
    if not isinstance(metrics, dict):
        raise MetricsError(
            f"{where}: a JSON {type(metrics).__name__}; "
            "allowed: an object such as {'accuracy': 0.97}"
        )
    if len(metrics) > MAX_METRICS:
        raise MetricsError(f"{where}: {len(metrics)} metrics; allowed: at most {MAX_METRICS}")
    wrong = list(_wrong(metrics))
    if wrong:
        allowed = f"printable names of at most {MAX_NAME_LENGTH} characters, and numbers"
        raise MetricsError(
            f"{where}: {'; '.join(wrong[:5])}; allowed: {allowed}; write all else to another file"
        )
    return {name: _bounded(value) for name, value in metrics.items()}


def _wrong(metrics: Mapping[str, object]) -> Iterator[str]:
    for name, value in metrics.items():
        if type(value) in _KINDS:
            yield f"{cut(name, 80)!r} is {_KINDS[type(value)]}"
    for name in metrics:
        if not _is_name(name):
            yield f"{cut(name, 80)!r} is not a name"


def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable()


def _bounded(value: float) -> float:
    try:
        return value if abs(value) <= _MAX_INTEGER else float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf

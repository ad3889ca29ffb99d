"""Gates: conditions such as ``accuracy >= 0.95`` that metrics must pass before a checkpoint may be promoted."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.fields import nearest
from airflow_runai.core.texts import cut
from airflow_runai.errors import MetricsError, SpecError

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_GATE = re.compile(r"\s*([A-Za-z_][\w./-]*)\s*(>=|<=|==|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True)
class Gate:
    """
    One condition.

    :param metric: key in the metrics; dots reach into nested mappings.
    """

    metric: str
    comparison: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.metric} {self.comparison} {self.threshold:.12g}"


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """Read gates such as ``accuracy >= 0.95``; raises :class:`SpecError` listing all that cannot be read."""
    if isinstance(texts, str):
        raise SpecError([f"gates: {texts!r} is one text; allowed: a list of texts such as ['accuracy >= 0.95']"])
    found = [(text, _GATE.fullmatch(str(text))) for text in texts]
    wrong = [text for text, match in found if match is None]
    if wrong:
        allowed = "allowed: METRIC >=|<=|==|>|< NUMBER, such as 'accuracy >= 0.95'"
        raise SpecError([f"gates: {text!r} cannot be read; {allowed}" for text in wrong])
    return tuple(Gate(m.group(1), m.group(2), float(m.group(3))) for _, m in found if m)


def judge(gates: Sequence[Gate], metrics: Mapping[str, Any]) -> list[str]:
    """
    Return one sentence for each gate that is not passed; what is not finite (a diverged training) never passes.

    :raises MetricsError: if a metric is missing or no number: nothing can be said then.
    """
    values = [(gate, _value(metrics, gate.metric)) for gate in gates]
    return [
        f"{gate.metric} is {value:.12g}, the gate asks for {gate}"
        for gate, value in values
        if not math.isfinite(value) or not _OPERATORS[gate.comparison](value, gate.threshold)
    ]


def _value(metrics: Mapping[str, Any], name: str) -> float:
    found: Any = metrics.get(name)
    if found is None:
        found = metrics
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if found is None:
        raise MetricsError(
            f"gate on {name!r}: the evaluation did not write this metric; {cut(nearest(name, map(str, metrics)))}"
        )
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise MetricsError(f"gate on {name!r}: the evaluation wrote {cut(repr(found), 80)}; allowed: a number")
    try:
        return float(found)
    except OverflowError:
        return math.inf

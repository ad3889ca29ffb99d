"""
What the files of a rung say: a trial's result, who has claimed to go on, who is out.

Each is one small JSON object that is written once. They lie where trainings can write, so whatever
else is found there is named, and does not count.
"""

from __future__ import annotations

import json
import math
from typing import Any

from airflow_runai.core.texts import cut

#: Bytes. Ours have about a hundred.
MAX_BYTES = 4096
# Beyond it an integer may be no float.
_MAX_SCORE = 1e308


def result_text(trial: int, metric: str, score: float | None) -> str:
    """Return the file of a result; a score that is not finite is written as ``null``."""
    known = score if score is not None and abs(score) <= _MAX_SCORE else None
    return json.dumps({"trial": trial, "metric": metric, "score": known}) + "\n"


def trial_text(trial: int) -> str:
    """Return the file of a claim, and of a trial that has ended."""
    return json.dumps({"trial": trial}) + "\n"


def score_in(data: bytes, trial: int, metric: str) -> float:
    """
    Read a result.

    :return: the score; NaN if the trial has none.
    :raises ValueError: if it is no result of this trial by this metric, saying why.
    """
    document = _document(data)
    for name, wanted in (("trial", trial), ("metric", metric)):
        if document.get(name) != wanted:
            raise ValueError(f"{name}: {_shown(document, name)}; needed: {wanted!r}")
    score = _number(document.get("score", ""))
    if score is None:
        raise ValueError(f"score: {_shown(document, 'score')}; needed: a finite number, or null")
    return score


def trial_in(data: bytes, trials: int) -> int:
    """
    Read which trial a claim is of.

    :param trials: of the sweep.
    :raises ValueError: if it names no trial of the sweep, saying what it has.
    """
    document = _document(data)
    trial = document.get("trial")
    if isinstance(trial, bool) or not isinstance(trial, int) or not 0 <= trial < trials:
        raise ValueError(f"trial: {_shown(document, 'trial')}; needed: 0 to {trials - 1}")
    return trial


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError(f"no JSON: {cut(repr(data[:80]))}") from None
    if not isinstance(found, dict):
        raise ValueError(f"no JSON object: {cut(repr(found), 80)}")
    return found


def _shown(document: dict[str, Any], name: str) -> str:
    return cut(repr(document.get(name)), 80)


def _number(value: Any) -> float | None:
    """Return a score as a number, NaN for ``null``; ``None`` for anything else."""
    if value is None:
        return math.nan
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= _MAX_SCORE else None

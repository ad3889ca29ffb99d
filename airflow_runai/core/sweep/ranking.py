"""Which trial is best, and what is told of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.sweep.trials import Trial
from airflow_runai.core.texts import cut, plural
from airflow_runai.core.values import count_problems, nearest
from airflow_runai.errors import NoValidCheckpoint, SpecError

MODES = ("max", "min")


@dataclass(frozen=True)
class Result:
    """
    What came of a trial.

    :param metrics: of its evaluation; ``None`` if it has none, because the trial failed.
    :param problem: why, in one sentence; empty if all went well.
    :param rung: of a successive halving, on which the trial was evaluated last.
    """

    trial: Trial
    metrics: Mapping[str, float] | None
    problem: str = ""
    rung: int = 0

    def score(self, metric: str) -> float | None:
        """Return a metric; ``None`` if it is missing or not finite, as of a diverged trial."""
        value = (self.metrics or {}).get(metric, math.nan)
        return value if math.isfinite(value) else None


def check_goal(metric: object, mode: object, min_successful: object) -> None:
    """
    Check by what trials are compared.

    :raises SpecError: listing what is wrong.
    """
    problems = []
    if not isinstance(metric, str) or not metric:
        problems.append(f"metric: {metric!r}; allowed: the name of a metric, such as 'accuracy'")
    if mode not in MODES:
        problems.append(f"mode: {mode!r}; {nearest(str(mode), MODES)}")
    problems += count_problems({"min_successful": (min_successful, 1)})
    if problems:
        raise SpecError(problems)


def ranked(results: Sequence[Result], metric: str, mode: str) -> list[Result]:
    """
    Return the trials that have a score, the best first; of equal ones the first of the sweep.

    Scores of different rungs are not compared: whoever came further is better.
    """
    sign = -1.0 if mode == "max" else 1.0
    scored = [(one.score(metric), one) for one in results]
    known = [
        (-one.rung, sign * score, one.trial.number, one)
        for score, one in scored
        if score is not None
    ]
    return [one for *_, one in sorted(known, key=lambda found: found[:3])]


def best(results: Sequence[Result], metric: str, mode: str, min_successful: int) -> Result:
    """
    Return the best trial.

    :raises NoValidCheckpoint: if fewer trials have a score than that.
    """
    order = ranked(results, metric, mode)
    if len(order) < min_successful:
        counted = f"{len(order)} of {plural(len(results), 'trial')}"
        raise NoValidCheckpoint(
            f"best: {counted} has a finite {metric!r}; needed: {min_successful}"
            f"{_why_so_few(results, metric)}"
        )
    return order[0]


def _why_so_few(results: Sequence[Result], metric: str) -> str:
    reasons = [one.problem for one in results if one.problem]
    if reasons:
        return f"; the first problem: {cut(reasons[0])}"
    without = [one.metrics for one in results if one.metrics and metric not in one.metrics]
    return f"; of the first without it: {cut(nearest(metric, without[0]))}" if without else ""


def table(results: Sequence[Result], metric: str, mode: str) -> list[JsonObject]:
    """Return one row for each trial, in the order of the sweep, with its rank if it has one."""
    ranks = {one.trial.number: at for at, one in enumerate(ranked(results, metric, mode), start=1)}
    return [
        {
            "trial": one.trial.number,
            "name": one.trial.name,
            "parameters": dict(one.trial.parameters),
            "score": one.score(metric),
            "rank": ranks.get(one.trial.number),
            "problem": one.problem or _lack(one.metrics, metric),
        }
        for one in results
    ]


def _lack(metrics: Mapping[str, float] | None, metric: str) -> str:
    """Say that an evaluation that succeeded gives no score; an empty text if it does."""
    value = (metrics or {}).get(metric)
    has_score = value is not None and math.isfinite(value)
    return "" if has_score else f"its evaluation gives no finite {metric!r}"

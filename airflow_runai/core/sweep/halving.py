"""
Successive halving without waiting for whole rungs (ASHA).

L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020. All trials train up to
the first rung; of those that have a result there, the best 1/η go on to the next. Nobody waits for
the slowest: whoever is among the best so far goes on. So a rung may promote one that later turns
out worse, but never more than its budget.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from airflow_runai.core.values import count_problems
from airflow_runai.errors import SpecError

PROMOTE, WAIT, SKIP = "promote", "wait", "skip"


def rungs(trials: int, max_steps: int, eta: int, min_steps: int = 1) -> tuple[int, ...]:
    """
    Return the step at which each rung ends, the last being ``max_steps``.

    :param trials: in the first rung.
    :param eta: one of so many goes on, from 2.
    :param min_steps: of the first rung.
    :raises SpecError: listing what is wrong.
    """
    problems = count_problems(
        {
            "trials": (trials, 1),
            "max_steps": (max_steps, 1),
            "eta": (eta, 2),
            "min_steps": (min_steps, 1),
        }
    )
    if not problems and min_steps > max_steps:
        problems = [f"min_steps: {min_steps}; allowed: at most max_steps, {max_steps}"]
    if problems:
        raise SpecError(problems)
    found, left = [max_steps], trials
    while left >= eta and found[-1] // eta >= min_steps:
        found.append(found[-1] // eta)
        left //= eta
    return tuple(reversed(found))


def budget(trials: int, eta: int, rung: int = 0) -> int:
    """
    Return how many trials may go on from a rung; one at least, so that a sweep has a winner.

    :param trials: of the sweep.
    :param rung: from 0.
    """
    share: int = trials // eta ** (rung + 1)
    return max(1, share)


def decide(
    trial: int,
    scores: Mapping[int, float],
    claims: Collection[int | None],
    *,
    limit: int,
    is_over: bool,
    eta: int,
) -> str:
    """
    Decide whether a trial that has a result on a rung goes on.

    :param trial: which asks; without a finite score it does not go on.
    :param scores: results on this rung so far, by trial; greater is better.
    :param claims: trials that have gone on from this rung; ``None`` for a claim whose file does
        not say whose it is.
    :param limit: how many may go on from this rung (:func:`budget`).
    :param is_over: no further result can come.
    :return: :data:`PROMOTE`, :data:`WAIT` or :data:`SKIP`.
    """
    if trial in claims:
        return PROMOTE
    if len(claims) >= limit or not math.isfinite(scores.get(trial, math.nan)):
        return SKIP
    ahead = [other for other in _order(scores) if other not in claims]
    so_far = limit if is_over else min(limit, len(scores) // eta)
    if trial in ahead[: max(0, so_far - len(claims))]:
        return PROMOTE
    return SKIP if is_over else WAIT


def _order(scores: Mapping[int, float]) -> Sequence[int]:
    """Return trials, the best first; of equal ones the first of the sweep."""
    known = [(-score, trial) for trial, score in scores.items() if math.isfinite(score)]
    return [trial for _, trial in sorted(known)]

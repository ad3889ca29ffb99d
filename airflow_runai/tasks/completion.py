"""
Whether a workload that completed had reached its end: its checkpoints decide where history doubts.

Only a worker asks them. The wait itself decides by the history alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from airflow_runai.core.completion import kills, leaving_into, why_incomplete
from airflow_runai.core.outcome import FAILED, SUCCEEDED, Outcome
from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.texts import cut
from airflow_runai.tasks.checkpoint_root import CheckpointRoot

log = logging.getLogger(__name__)

_ADVICE = (
    "to Run:ai, exit code 0 means finished, so it is never resumed. Let the training end with "
    "another code, such as 143, when it is told to stop; if it may have been complete, give "
    "expected_steps or allow_exit_on_preemption=True"
)
_DOUBT = (
    "%s completed while it was going down (%s), and the platform does not say why: if its training "
    "ends with exit code 0 when it is told to stop, it may not be complete"
)


#: Kubernetes' default, seconds.
_GRACE = 30.0


def is_cut_short(outcome: Outcome) -> bool:
    """Whether a workload completed, but its history says that it was taken away."""
    return outcome.status == FAILED and meaning(outcome.phase) is Meaning.SUCCEEDED


def confirmed(
    outcome: Outcome, root: Callable[[], CheckpointRoot | None], allowed: bool
) -> Outcome:
    """
    Return the end, after a look at the checkpoints where it is in doubt.

    :param root: called only then.
    :param allowed: the author says that exit code 0 always means done.
    """
    left = leaving_into(outcome.timeline)
    if is_cut_short(outcome):
        reached, words = _step_reached(root)
        if reached and not why_incomplete(outcome.timeline, reached_end=True):
            return replace(outcome, status=SUCCEEDED, reason=f"completed, {words}")
        return replace(outcome, reason="; ".join(filter(None, (outcome.reason, words, _ADVICE))))
    if outcome.status == SUCCEEDED and left is not None and not allowed:
        reached, words = _step_reached(root)
        if not reached:
            log.warning(_DOUBT + (f"; {words}" if words else ""), outcome.name, left.phase)
    return outcome


def _step_reached(of: Callable[[], CheckpointRoot | None]) -> tuple[bool, str]:
    """Return whether the newest checkpoint shows the end, and what it shows."""
    try:
        root = of()
        if root is None or root.expected_steps is None:
            return False, ""
        expected = root.expected_steps
        step = root.step_reached()
    except Exception as error:  # storage libraries raise what they like
        return (
            False,
            f"whether it is complete cannot be read from its checkpoints ({cut(str(error))})",
        )
    if step is None:
        return False, f"no whole checkpoint in {root.path} has reached step {expected}"
    return True, f"its newest checkpoint has reached step {step} of {expected}"


def count_kills(outcome: Outcome, grace: float | None) -> int:
    """
    Count how often a training was killed at the end of its grace, and say it in the log.

    :param grace: seconds between SIGTERM and SIGKILL; default: Kubernetes' own.
    """
    grace = _GRACE if grace is None else grace
    count = kills(outcome.timeline, grace)
    if count:
        times = "once" if count == 1 else f"{count} times"
        log.warning(
            "%s was killed %s: it did not leave within its grace of %g s, so what it had not saved "
            "by then was lost; save when SIGTERM comes and end at once, or give a longer "
            "termination_grace_period",
            outcome.name,
            times,
            grace,
        )
    return count

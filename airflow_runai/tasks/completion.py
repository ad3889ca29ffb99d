"""
Whether a workload that completed had reached its end: its checkpoints decide where history doubts.

Only a worker asks them. The wait itself decides by the history alone.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import Any, TypeVar

from airflow_runai.core.completion import (
    kills,
    leaving_into,
    speaks_of_preemption,
    why_incomplete,
)
from airflow_runai.core.fields import read
from airflow_runai.core.outcome import FAILED, SUCCEEDED, Outcome
from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.texts import cut
from airflow_runai.core.timeline import Moment
from airflow_runai.core.values import whole
from airflow_runai.errors import CheckpointUnreadable
from airflow_runai.tasks.checkpoint_query import CheckpointQuery, progress_logger
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.step_readers import read_here

T = TypeVar("T")

log = logging.getLogger(__name__)

_ADVICE = (
    "to the platform, exit code 0 means finished, so it is never resumed. Let the training end "
    "with another code, such as 143, when it is told to stop; if it may have been complete, give "
    "expected_steps or allow_exit_on_preemption=True"
)
_DOUBT = (
    "%s completed %s: if its training ends with exit code 0 when it is told to stop, it may not be "
    "complete"
)
#: Seconds without a byte after which a storage hangs. Some need minutes to list a large root.
SILENCE = 600.0
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

    A verdict reads the newest one, as long as it takes; for a warning, a listing is enough.

    :param root: called only then.
    :param allowed: the author says that exit code 0 always means done.
    """
    if is_cut_short(outcome):
        reached, words = _step_reached(root, _proven)
        if reached and not why_incomplete(outcome.timeline, reached_end=True):
            return replace(outcome, status=SUCCEEDED, reason=f"completed, {words}")
        return replace(outcome, reason="; ".join(filter(None, (outcome.reason, words, _ADVICE))))
    if outcome.status == SUCCEEDED and not allowed:
        warn_if_doubtful(outcome, root)
    return outcome


def warn_if_doubtful(
    outcome: Outcome, root: Callable[[], CheckpointRoot | None] = lambda: None
) -> None:
    """
    Warn if a success may be none: it was going down, and the platform does not say why.

    :param root: called only then.
    """
    left = leaving_into(outcome.timeline)
    if left is None:
        return
    reached, words = _step_reached(root, _listed)
    if not reached:
        log.warning(_DOUBT + (f"; {words}" if words else ""), outcome.name, _how(left))


def _how(left: Moment) -> str:
    if speaks_of_preemption(left):
        said = f'{left.phase}: "{cut(left.message)}"'
        return f"after the platform had spoken of a preemption ({said})"
    return f"while it was going down ({left.phase}), and the platform does not say why"


def _step_reached(
    of: Callable[[], CheckpointRoot | None], ask: Callable[[CheckpointRoot, int], tuple[bool, str]]
) -> tuple[bool, str]:
    """Return whether the newest checkpoint shows the end, and what it shows."""
    try:
        root = of()
        if root is None or root.expected_steps is None:
            return False, ""
        return ask(root, root.expected_steps)
    except Exception as error:  # storage libraries raise what they like
        return (
            False,
            f"whether it is complete cannot be read from its checkpoints ({cut(str(error))})",
        )


def _listed(root: CheckpointRoot, expected: int) -> tuple[bool, str]:
    found = read_here(root.published_saves)
    if found is None:
        return False, f"the checkpoints in {root.path} cannot be listed"
    published, _ = found
    if any(one.step >= expected for one in published):
        return True, ""
    return False, f"no checkpoint in {root.path} is of step {expected}"


def _proven(root: CheckpointRoot, expected: int) -> tuple[bool, str]:
    query = CheckpointQuery(
        root.path,
        root.path_map,
        root.storage_conn_id,
        # It counts for the training, too.
        accept_unverifiable=True,
        min_step=expected,
    )
    chosen = unless_silent(lambda clock: query.select(progress_logger(clock)).chosen)
    if chosen is None:
        return False, f"no whole checkpoint in {root.path} has reached step {expected}"
    return True, f"its newest checkpoint has reached step {chosen.step} of {expected}"


def unless_silent(reading: Callable[[Callable[[], float]], T]) -> T:
    """
    Read in a thread of its own, however long it takes, as long as bytes arrive.

    :param reading: gets the clock to call whenever they do.
    :raises CheckpointUnreadable: after :data:`SILENCE` without a byte.
    """
    answer: Future[T] = Future()
    heard, given_up = time.monotonic(), False

    def clock() -> float:
        nonlocal heard
        if given_up:
            raise CheckpointUnreadable("nobody waits for it any more")
        heard = time.monotonic()
        return heard

    def work() -> None:
        try:
            answer.set_result(reading(clock))
        except Exception as error:  # storage libraries raise what they like
            answer.set_exception(error)

    # A storage that hangs cannot be interrupted, and must not hold the worker.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="runai-proof", daemon=True).start()
    while not wait([answer], heard + SILENCE - time.monotonic()).done:
        if time.monotonic() - heard >= SILENCE:
            given_up = True
            raise CheckpointUnreadable(f"no answer within {SILENCE:.0f} s")
    return answer.result()


def grace_of(spec: Any) -> float | None:
    """
    Return the longest grace of a workload's pods, in seconds.

    :param spec: the mapping that its specification is made from.
    :return: ``None`` where it is not known: a template of the control plane may set it.
    """
    # It was checked when it was submitted.
    sent = read(WorkloadSpec, spec, "spec", []).to_wire()
    parts = (sent["spec"], sent.get("masterSpec") or sent["spec"])
    default = None if "templateId" in sent else _GRACE
    graces = [_seconds(part.get("terminationGracePeriodSeconds", default)) for part in parts]
    known = [grace for grace in graces if grace is not None]
    return max(known) if len(known) == len(graces) else None


def _seconds(value: object) -> float | None:
    try:
        return float(whole(0)(value))
    except ValueError:  # "raw" is not checked
        return None


def count_kills(outcome: Outcome, grace: float | None) -> int:
    """
    Count how often a training was killed at the end of its grace, and say it in the log.

    :param grace: seconds between SIGTERM and SIGKILL; ``None`` if not known: then none is counted.
    """
    count = kills(outcome.timeline, grace) if grace is not None else 0
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

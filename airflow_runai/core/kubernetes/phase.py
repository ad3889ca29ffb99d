"""
The phase of a training on Kubernetes, in the words that Run:ai uses, with its message and moment.

A table: the first row that fits counts. A training is over when nothing of it runs any more; until
then it is going down, though its end is sure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.endings import (
    ENDS,
    FAILED,
    INFRASTRUCTURE,
    PREEMPTED,
    SUCCEEDED,
    SUSPENDED,
    ending,
)
from airflow_runai.core.kubernetes.facts import NEVER
from airflow_runai.core.kubernetes.incarnations import PodIncarnation
from airflow_runai.core.kubernetes.pod_facts import PodFacts
from airflow_runai.core.kubernetes.verdict import DELETED, TrainingVerdict
from airflow_runai.core.texts import said
from airflow_runai.core.workload import iso

#: Seconds that the Job controller waits after the first pod that failed or was taken; twice as long
#: after each further one, but no longer than the second number.
FIRST_DELAY, LONGEST_DELAY = 10.0, 600.0


class PhaseReading(NamedTuple):
    """
    The phase of a training.

    :param phase: a word of :data:`~airflow_runai.core.phases.PHASES`.
    :param message: why, as far as the platform tells.
    :param since: epoch seconds, by the server's clock; 0 if it does not tell.
    :param next_start: the earliest start of the next pod, while the Job controller waits for it.
    :param succeeds: see :class:`~airflow_runai.core.workload.Workload`.
    """

    phase: str
    message: str
    since: float
    next_start: float | None = None
    succeeds: bool = False


_DONE_BY_OTHERS = {PREEMPTED: "preempted", INFRASTRUCTURE: "interrupted", SUSPENDED: "stopped"}
_NOT_QUEUED = "Kueue has no Workload for it yet"
_Row: TypeAlias = "Callable[[Case, Sequence[PodIncarnation], TrainingVerdict], PhaseReading | None]"


def phase_of(case: Case, lives: Sequence[PodIncarnation], judged: TrainingVerdict) -> PhaseReading:
    """Return the present phase."""
    rows = (row(case, lives, judged) for row in _ROWS)
    first = next((reading for reading in rows if reading), None)
    return first or PhaseReading("Creating", "no pod exists yet", case.training.made)


def next_start(lives: Sequence[PodIncarnation]) -> float | None:
    """
    Return when the Job controller makes the next pod at the earliest, in epoch seconds.

    ``None`` if nothing makes it wait. A controller that was restarted waits less.
    """
    ends: list[float] = []
    for one in lives:
        if one.ended == SUCCEEDED:
            ends.clear()
        elif one.is_counted and one.end is not None:
            ends.append(one.end)
    if not ends:
        return None
    return max(ends) + min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(len(ends) - 1, 10))


def _over(
    case: Case, lives: Sequence[PodIncarnation], judged: TrainingVerdict
) -> PhaseReading | None:
    training = case.training
    if judged.final == DELETED:
        return PhaseReading("Deleting", "", _last_moment(case, lives))
    concluded = training.success or training.failure
    if not judged.final or concluded is None:
        return None
    is_over = training.presence.is_gone or (training.now is not None and training.now.is_over)
    if not is_over:
        is_success = judged.final == SUCCEEDED
        return PhaseReading("Terminating", judged.reason, concluded.at, succeeds=is_success)
    return PhaseReading(
        "Failed" if judged.final == FAILED else "Completed", judged.reason, concluded.at
    )


def _leaving(
    case: Case, lives: Sequence[PodIncarnation], judged: TrainingVerdict
) -> PhaseReading | None:
    if case.training.leaving == NEVER:
        return None
    return PhaseReading("Deleting", "", case.training.leaving)


def _paused(
    case: Case, lives: Sequence[PodIncarnation], judged: TrainingVerdict
) -> PhaseReading | None:
    training = case.training
    if training.now is None or not training.now.is_suspended:
        return None
    since = max([*training.paused_at, _last_moment(case, lives)])
    if training.queue and (case.queue is None or case.queue.now is None):
        is_hidden = "Workload" in case.unreadable
        words = "what Kueue says of it cannot be seen" if is_hidden else _NOT_QUEUED
        return PhaseReading("Pending", words, since)
    is_stopping = any(True for _ in _alive(case))
    if case.queue and case.queue.now and case.queue.now.is_active:
        words = _after(lives, case.queue.now.message)
        return None if is_stopping else PhaseReading("Pending", words, since)
    message = _after(lives, "is suspended")
    return PhaseReading("Stopping" if is_stopping else "Stopped", message, since)


def _living(
    case: Case, lives: Sequence[PodIncarnation], judged: TrainingVerdict
) -> PhaseReading | None:
    alive = list(_alive(case))
    if not alive:
        return None
    taken = [pod for pod in alive if pod.is_taken]
    if taken:
        how = ending(taken[0], case)
        since = min(pod.began for pod in taken)
        since = since if since < NEVER else _last_moment(case, lives)
        return PhaseReading("Terminating", how.words if how else "", since)
    if case.is_set and (left := telling(_ended_after(max(pod.made for pod in alive), lives))):
        # The others of its gang go with it.
        return PhaseReading(
            "Terminating", how_it_ended(left), left.end or _last_moment(case, lives)
        )
    running = [pod for pod in alive if pod.now and pod.now.phase == "Running"]
    if running:
        is_whole = len(running) == len(alive)
        since = max(pod.started if pod.started < NEVER else pod.made for pod in running)
        nodes = ", ".join(sorted({pod.node for pod in running}))
        return PhaseReading("Running" if is_whole else "Degraded", f"on {nodes}", since)
    return _starting(alive, lives)


def _counted(
    case: Case, lives: Sequence[PodIncarnation], judged: TrainingVerdict
) -> PhaseReading | None:
    """Tell by the Job controller's numbers, where pods cannot be seen; since when is not known."""
    now = case.training.now
    if "Pod" not in case.unreadable or now is None or not now.active:
        return None
    return PhaseReading("Running" if now.ready else "Pending", "its pods cannot be seen", 0.0)


def _starting(alive: Sequence[PodFacts], lives: Sequence[PodIncarnation]) -> PhaseReading:
    is_placed = any(pod.node for pod in alive)
    blocked = [pod.now for pod in alive if pod.now and pod.now.reason]
    words = said(blocked[0].reason, blocked[0].message) if blocked else ""
    since = max(pod.made for pod in alive)
    if is_placed:
        return PhaseReading("Initializing", words, since)
    return PhaseReading("Pending", _after(lives, words), since)


def _between(
    case: Case, lives: Sequence[PodIncarnation], judged: TrainingVerdict
) -> PhaseReading | None:
    together, since = _ended_together(lives), _last_moment(case, lives)
    if not together:
        return None
    if telling(together) is None:
        # The Job says a moment later whether that was all; until then it is no interruption.
        return PhaseReading("Terminating", "its pod has succeeded", since, succeeds=True)
    due = None if case.is_set or together[0].ended == SUSPENDED else next_start(lives)
    words = (
        f"the next pod starts at {iso(due)} at the earliest" if due else "waits for its next pod"
    )
    return PhaseReading("Pending", _after(lives, words), since, due)


def telling(together: Iterable[PodIncarnation]) -> PodIncarnation | None:
    """
    Return which of the pods that lived together says best why they all ended.

    One that failed or was preempted does; those that are then removed for its sake do not.
    """
    taken = [one for one in together if one.ended not in ("", SUCCEEDED)]
    return min(taken, key=lambda one: ENDS.index(one.ended), default=None)


def how_it_ended(one: PodIncarnation) -> str:
    """Say how an incarnation ended, in words; only a preemption is called one."""
    if one.ended in _DONE_BY_OTHERS and (one.by or one.ended != SUSPENDED):
        by = f" by {one.by}" if one.by else ""
        how = f"{_DONE_BY_OTHERS[one.ended]}{by}"
        return f"{how}: {one.words}" if one.words else how
    if one.ended == FAILED:
        # Which member of a gang it was, nobody can look up: its pod goes with all others.
        who = f"{one.name} " if one.attempt >= 0 else ""
        return f"{who}failed with exit code {one.exit_code} ({one.reason})"
    return f"ended ({one.ended})"


def _after(lives: Sequence[PodIncarnation], words: str) -> str:
    """Say what ended the last incarnation before what is now."""
    cause = telling(_ended_together(lives))
    if cause is None:
        return words
    how = how_it_ended(cause)
    return f"{how}; {words}" if words else how


def _ended_together(lives: Sequence[PodIncarnation]) -> list[PodIncarnation]:
    """Return the newest pod that has ended, and of a gang the others that lived with it."""
    together = [one for one in lives if one.ended][-1:]
    if together and together[0].attempt >= 0:
        together += _ended_after(together[0].made, lives)
    return together


def _ended_after(moment: float, lives: Iterable[PodIncarnation]) -> list[PodIncarnation]:
    return [one for one in lives if one.end is not None and one.end > moment]


def _alive(case: Case) -> Iterator[PodFacts]:
    for pod in case.pods:
        if pod.end is None and not pod.presence.is_gone:
            yield pod


def _last_moment(case: Case, lives: Sequence[PodIncarnation]) -> float:
    """Return the last thing that is known to have happened to its pods."""
    known = (when for one in lives for when in (one.made, one.start, one.end) if when is not None)
    return max(known, default=case.training.made)


_ROWS: tuple[_Row, ...] = (_over, _leaving, _paused, _living, _counted, _between)

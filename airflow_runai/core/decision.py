"""
The one verdict on a wait: :func:`decide` says what follows from one look at a workload.

The blocking operator, the trigger and the sensor share it. An unknown phase is never final, an
unreachable control plane is never a failure, and absence must last before it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from airflow_runai.core import outcome as ends
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.phases import FINAL, Meaning, meaning
from airflow_runai.core.timeline import Clocks, Moment, clocks, last_meaning
from airflow_runai.core.workload import Workload

#: A fresh workload may answer 404 for a moment, lists lag, an identity loses sight of its project
#: while its rules are edited: absence must last this long (seconds) to be believed. What was really
#: deleted is listed as deleted.
ABSENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Timeouts:
    """
    Upper bounds of the clocks, seconds; ``None`` means no timeout.

    A clock ends the wait only while it ticks: what runs is not stopped for having queued too long
    while nobody looked. While the phase is unknown, nobody knows which clocks tick: then only
    ``total`` counts. While the control plane does not answer, no timeout can be enforced: it ends
    the wait when the control plane answers again.

    :param queue: from submission to the first run.
    :param interruption: one stretch of not running after the first run.
    :param interrupted_total: all such stretches together.
    :param running: time in which it actually ran.
    :param total: everything since submission, outages included.
    :param starting: one stretch in a phase from which a platform should move on by itself
        (creating, resuming, pulling an image, going down): what exceeds it is ``stalled``.
    """

    queue: float | None = None
    interruption: float | None = None
    interrupted_total: float | None = None
    running: float | None = None
    total: float | None = None
    starting: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"timeouts.{item.name}: {value!r}; allowed: seconds greater than 0, or leave it out"
                )


@dataclass(frozen=True)
class WaitPolicy:
    """
    Pace and timeouts of a wait.

    :param poll_interval: seconds between looks, greater than 0.
    :param when_suspended: ``wait``: someone suspended it and will resume it (the time counts as
        interruption); ``end``: that is the outcome ``stopped``.
    :param deadline: epoch seconds at which the wait ends whatever the clocks say; ``None`` for
        never.
    """

    poll_interval: float = 30.0
    timeouts: Timeouts = Timeouts()
    when_suspended: str = "wait"
    deadline: float | None = None

    def __post_init__(self) -> None:
        if not self.poll_interval > 0:
            raise ValueError(
                f"poll_interval: {self.poll_interval!r}; allowed: seconds greater than 0"
            )
        if self.when_suspended not in ("wait", "end"):
            raise ValueError(f"when_suspended: {self.when_suspended!r}; allowed: 'wait' or 'end'")


@dataclass(frozen=True)
class Snapshot:
    """
    One look at a workload.

    :param workload: the newest reading.
    :param timeline: what is known of its history, oldest first, this reading included.
    :param taken_at: epoch seconds; later than the reading itself while the control plane is
        unreachable.
    :param absent_since: epoch seconds since which it cannot be found; ``None`` while it can.
    :param blind: the control plane gave no answer; the reading is an old one.
    """

    workload: Workload
    timeline: tuple[Moment, ...]
    taken_at: float
    absent_since: float | None = None
    blind: bool = False

    @property
    def clocks(self) -> Clocks:
        """The clocks at :attr:`taken_at`."""
        return clocks(self.timeline, self.taken_at)


@dataclass(frozen=True)
class KeepWaiting:
    """Look again in ``seconds``."""

    seconds: float


_ENDS = {
    Meaning.SUCCEEDED: (ends.SUCCEEDED, "completed"),
    Meaning.FAILED: (ends.FAILED, "failed"),
    Meaning.DELETING: (ends.GONE, "was deleted by someone else"),
}


_CLOCKS = ("queue", "interruption", "interrupted_total", "running", "total")


def decide(policy: WaitPolicy, seen: Snapshot) -> KeepWaiting | Outcome:
    """
    Say what follows from one look: look again later, or stop and why.

    Reads no clock: ``seen.taken_at`` is the present. A phase this version does not know is never
    final.

    :return: :class:`KeepWaiting` with seconds until the next look, or the final :class:`Outcome`.
    """
    kind = _settled(seen)
    if kind in _ENDS:
        status, words = _ENDS[kind]
        return _end(seen, status, f"{words}{because(seen.workload.message)}")
    if _is_gone(seen):
        words = "the control plane does not know it any more, nor lists it as deleted"
        return replace(_end(seen, ends.GONE, words), absent=True)
    if kind is Meaning.SUSPENDED and policy.when_suspended == "end":
        return _end(seen, ends.STOPPED, "was suspended by someone else")
    ticking = _ticking(policy, seen)
    return _exceeded(policy, seen, ticking) or KeepWaiting(_pause(policy, seen, ticking))


def _settled(seen: Snapshot) -> Meaning:
    """What is finished stays what it was, even if somebody removed it before we looked."""
    kind = seen.workload.meaning
    if kind is not Meaning.DELETING:
        return kind
    last = last_meaning(seen.timeline)
    return last if last in FINAL else kind


def _is_gone(seen: Snapshot) -> bool:
    if seen.absent_since is None or seen.blind:
        return False
    return seen.taken_at - seen.absent_since >= ABSENCE_SECONDS


def _exceeded(policy: WaitPolicy, seen: Snapshot, ticking: Mapping[str, float]) -> Outcome | None:
    if policy.deadline is not None and seen.taken_at >= policy.deadline:
        return _end(seen, ends.TIMED_OUT, f"the deadline passed while it was {seen.workload.phase}")
    for name, used in ticking.items():
        timeout = getattr(policy.timeouts, name)
        if used < timeout:
            continue
        if name == "starting":
            words = f"phase {seen.workload.phase} for {used:.0f} s; the timeout of starting is {timeout:.0f} s"
            return _end(seen, ends.STALLED, words + because(seen.workload.message))
        return _end(
            seen,
            ends.TIMED_OUT,
            f"the {name} clock reached {used:.0f} s; its timeout is {timeout:.0f} s",
        )
    return None


def _ticking(policy: WaitPolicy, seen: Snapshot) -> dict[str, float]:
    """Return the limited clocks that have a meaning now and grow with time."""
    if seen.blind or seen.absent_since is not None:
        return {}
    unsure = seen.workload.meaning is Meaning.UNKNOWN
    names = [
        name
        for name in (("total",) if unsure else _CLOCKS)
        if getattr(policy.timeouts, name) is not None
    ]
    found: dict[str, float] = {}
    if names:  # a training that was preempted hundreds of times has a long history to go through
        spent, later = seen.clocks, clocks(seen.timeline, seen.taken_at + policy.poll_interval)
        found = {
            name: getattr(spent, name)
            for name in names
            if getattr(later, name) > getattr(spent, name)
        }
    if policy.timeouts.starting is not None and not unsure and _should_move_on(seen):
        found["starting"] = seen.taken_at - seen.timeline[-1].at
    return found


def _should_move_on(seen: Snapshot) -> bool:
    phase = seen.workload.phase
    moving = seen.workload.meaning in (Meaning.STARTING, Meaning.LEAVING) or phase in (
        "Creating",
        "Resuming",
    )
    return moving and bool(seen.timeline) and seen.timeline[-1].phase == phase


def _pause(policy: WaitPolicy, seen: Snapshot, ticking: Mapping[str, float]) -> float:
    """Look as often as asked, but wake up no later than the nearest timeout."""
    left = [getattr(policy.timeouts, name) - used for name, used in ticking.items()]
    if policy.deadline is not None:
        left.append(policy.deadline - seen.taken_at)
    return float(min([policy.poll_interval, *(max(1.0, seconds) for seconds in left)]))


def because(message: str) -> str:
    """Return the platform's words as the end of a sentence."""
    return f": {message}" if message else ""


def _end(seen: Snapshot, status: str, reason: str) -> Outcome:
    found = seen.workload
    return Outcome(
        status=status,
        workload_id=found.id,
        name=found.name,
        phase=found.phase,
        reason=reason,
        ended_at=_ended_at(seen),
        clocks=seen.clocks,
        timeline=seen.timeline,
        project_id=found.project_id,
        cluster_id=found.cluster_id,
        kind=found.kind,
    )


def _ended_at(seen: Snapshot) -> float:
    finished = [moment.at for moment in seen.timeline if meaning(moment.phase) in FINAL]
    return finished[-1] if finished and last_meaning(seen.timeline) in FINAL else seen.taken_at

"""
The one decision of a wait: :func:`decide` says what follows from one look at a workload.

The blocking operator, the trigger and the sensor share it. An unknown phase is never final, an
unreachable control plane is never a failure, and absence must last before it is believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from functools import lru_cache
from typing import Any

from airflow_runai.core import outcome as ends
from airflow_runai.core.completion import why_incomplete
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.phases import FINAL, Meaning, meaning
from airflow_runai.core.progress import StepProgress, idle_seconds
from airflow_runai.core.texts import said
from airflow_runai.core.timeline import Clocks, Moment, clocks, last_meaning
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.workload import Workload

#: A fresh workload may answer 404 for a moment, lists lag, an identity loses sight of its project
#: while its rules are edited: absence must last this long (seconds) to be believed. A workload that
#: was really deleted is listed as deleted.
ABSENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """
    Pace and timeouts of a wait.

    :param poll_interval: seconds between looks, greater than 0.
    :param when_suspended: ``wait``: someone suspended it and will resume it (the time counts as
        interruption); ``end``: that is the outcome ``stopped``.
    :param deadline: epoch seconds at which the wait ends whatever the clocks say; ``None`` for
        never.
    :param allow_exit_on_preemption: believe exit code 0 even after a preemption had begun.
    """

    poll_interval: float = 30.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    when_suspended: str = "wait"
    deadline: float | None = None
    allow_exit_on_preemption: bool = False

    def __post_init__(self) -> None:
        if not self.poll_interval > 0:
            raise ValueError(
                f"poll_interval: {self.poll_interval!r}; allowed: seconds greater than 0"
            )
        if self.when_suspended not in ("wait", "end"):
            raise ValueError(f"when_suspended: {self.when_suspended!r}; allowed: 'wait' or 'end'")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        timeouts = {key: value for key, value in asdict(self.timeouts).items() if value is not None}
        return {**asdict(self), "timeouts": timeouts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> WaitPolicy:
        """Read what :meth:`to_json` wrote; equal policies are one object."""
        return _shared(cls(**{**value, "timeouts": Timeouts(**value.get("timeouts", {}))}))


@lru_cache(maxsize=256)
def _shared(policy: WaitPolicy) -> WaitPolicy:
    return policy


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    One look at a workload.

    :param workload: the newest reading.
    :param timeline: what is known of its history, oldest first, this reading included.
    :param taken_at: epoch seconds; later than the reading itself while the control plane is
        unreachable.
    :param absent_since: epoch seconds since which it cannot be found; ``None`` while it can.
    :param blind: the control plane gave no answer; the reading is an old one.
    :param past_unread: the timeline may lack what the server remembers; its clocks end no wait.
    :param progress: what is known of the training's steps.
    """

    workload: Workload
    timeline: tuple[Moment, ...]
    taken_at: float
    absent_since: float | None = None
    blind: bool = False
    past_unread: bool = False
    progress: StepProgress | None = None

    @property
    def clocks(self) -> Clocks:
        """The clocks at :attr:`taken_at`."""
        return clocks(self.timeline, self.taken_at)


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """
    Only news can end the wait before ``seconds`` have passed.

    :param seconds: infinite where only news can.
    """

    seconds: float


_ENDS = {
    Meaning.SUCCEEDED: (ends.SUCCEEDED, "completed"),
    Meaning.FAILED: (ends.FAILED, "failed"),
    Meaning.DELETING: (ends.GONE, "was deleted by someone else"),
}
_CLOCKS = ("queue", "interruption", "interrupted_total", "running", "total")
#: A platform should move on from these by itself, too.
_PASSING_PHASES = ("Creating", "Resuming")


def decide(policy: WaitPolicy, snapshot: Snapshot) -> KeepWaiting | Outcome:
    """
    Decide from one snapshot: look again later, or stop and why.

    Reads no clock: ``snapshot.taken_at`` is the present. A phase that this version does not know is
    never final.

    :return: :class:`KeepWaiting` with the seconds in which nothing but news can change that, or
        the final :class:`Outcome`.
    """
    kind = _settled(snapshot)
    if kind in _ENDS:
        status, reason = _ENDS[kind]
        if kind is Meaning.SUCCEEDED and not policy.allow_exit_on_preemption:
            why = snapshot.workload.doubt or why_incomplete(snapshot.timeline)
            if why:
                return _end(snapshot, ends.FAILED, why)
        return _end(snapshot, status, said(reason, snapshot.workload.message))
    if _is_gone(snapshot):
        reason = "the platform does not know it any more, nor lists it as deleted"
        return replace(_end(snapshot, ends.GONE, reason), absent=True)
    if kind is Meaning.SUSPENDED and policy.when_suspended == "end":
        return _end(snapshot, ends.STOPPED, "was suspended by someone else")
    ticking = _ticking(policy, snapshot)
    return _timed_out(policy, snapshot, ticking) or KeepWaiting(_pause(policy, snapshot, ticking))


def _settled(snapshot: Snapshot) -> Meaning:
    """Return what the phase means; a finished workload stays what it was, even if removed."""
    kind = snapshot.workload.meaning
    if kind is not Meaning.DELETING:
        return kind
    last = last_meaning(snapshot.timeline)
    return last if last in FINAL else kind


def _is_gone(snapshot: Snapshot) -> bool:
    if snapshot.absent_since is None or snapshot.blind:
        return False
    return snapshot.taken_at - snapshot.absent_since >= ABSENCE_SECONDS


def _timed_out(
    policy: WaitPolicy, snapshot: Snapshot, ticking: Mapping[str, float]
) -> Outcome | None:
    phase = snapshot.workload.phase
    if policy.deadline is not None and snapshot.taken_at >= policy.deadline:
        return _end(snapshot, ends.TIMED_OUT, f"the deadline passed while it was {phase}")
    for clock, used in ticking.items():
        limit = getattr(policy.timeouts, clock)
        if used < limit:
            continue
        if clock == "starting":
            reason = f"phase {phase} for {used:.0f} s; the timeout for starting is {limit:.0f} s"
            return _end(snapshot, ends.STALLED, said(reason, snapshot.workload.message))
        if clock == "progress" and snapshot.progress:
            words = f"no checkpoint after step {snapshot.progress.step} for {used:.0f} s"
            reason = f"{words}; the timeout for progress is {limit:.0f} s"
            return _end(snapshot, ends.STALLED, reason)
        reason = f"the {clock} clock reached {used:.0f} s; its timeout is {limit:.0f} s"
        return _end(snapshot, ends.TIMED_OUT, reason)
    return None


def _ticking(policy: WaitPolicy, snapshot: Snapshot) -> dict[str, float]:
    """Return the limited clocks that have a meaning now and grow with time."""
    if snapshot.blind or snapshot.past_unread or snapshot.absent_since is not None:
        return {}
    is_unknown = snapshot.workload.meaning is Meaning.UNKNOWN
    names = [
        name
        for name in (("total",) if is_unknown else _CLOCKS)
        if getattr(policy.timeouts, name) is not None
    ]
    ticking = _growing(names, policy, snapshot)
    if policy.timeouts.starting is not None and not is_unknown and _should_move_on(snapshot):
        ticking["starting"] = snapshot.taken_at - snapshot.timeline[-1].at
    if policy.timeouts.progress is not None and snapshot.workload.meaning is Meaning.RUNNING:
        # Where no step is known, it is asked again in time: the checkpoints wake no wait.
        idle = idle_seconds(snapshot.progress, snapshot.timeline, snapshot.taken_at)
        ticking["progress"] = idle or 0.0
    return ticking


def _growing(names: list[str], policy: WaitPolicy, snapshot: Snapshot) -> dict[str, float]:
    if not names:  # a training that was preempted hundreds of times has a long history
        return {}
    now = snapshot.clocks
    later = clocks(snapshot.timeline, snapshot.taken_at + policy.poll_interval)
    used = {name: getattr(now, name) for name in names}
    return {name: value for name, value in used.items() if getattr(later, name) > value}


def _should_move_on(snapshot: Snapshot) -> bool:
    workload = snapshot.workload
    passes = workload.meaning in (Meaning.STARTING, Meaning.LEAVING)
    if not passes and workload.phase not in _PASSING_PHASES:
        return False
    return bool(snapshot.timeline) and snapshot.timeline[-1].phase == workload.phase


def _pause(policy: WaitPolicy, snapshot: Snapshot, ticking: Mapping[str, float]) -> float:
    """Return the seconds until a timeout, or until the next look for what is absent."""
    left = [getattr(policy.timeouts, clock) - used for clock, used in ticking.items()]
    if policy.deadline is not None:
        left.append(policy.deadline - snapshot.taken_at)
    if snapshot.past_unread:
        left.append(past_needed_in(policy, snapshot))
    if snapshot.absent_since is not None:
        left.append(ABSENCE_SECONDS / 10)
    return min((max(1.0, seconds) for seconds in left), default=math.inf)


def past_needed_in(policy: WaitPolicy, snapshot: Snapshot) -> float:
    """
    Return the seconds until a clock can have reached its timeout, whatever has been.

    No clock runs faster than time since the creation. Not positive: the server must be asked for
    the past now; infinite: no clock has a timeout.
    """
    limits = [limit for limit in astuple(policy.timeouts) if limit is not None]
    if policy.deadline is not None:
        limits.append(policy.deadline - snapshot.workload.created_at)
    return min(limits, default=math.inf) - (snapshot.taken_at - snapshot.workload.created_at)


def _end(snapshot: Snapshot, status: str, reason: str) -> Outcome:
    workload = snapshot.workload
    return Outcome(
        status=status,
        workload_id=workload.id,
        name=workload.name,
        phase=workload.phase,
        reason=reason,
        ended_at=_ended_at(snapshot),
        clocks=snapshot.clocks,
        timeline=snapshot.timeline,
        project_id=workload.project_id,
        cluster_id=workload.cluster_id,
        kind=workload.kind,
        progress=snapshot.progress,
    )


def _ended_at(snapshot: Snapshot) -> float:
    if last_meaning(snapshot.timeline) not in FINAL:
        return snapshot.taken_at
    return [moment.at for moment in snapshot.timeline if meaning(moment.phase) in FINAL][-1]

"""
Waiting for a workload, as a flow that looks again and again until :func:`decide` ends the wait.

It survives everything but bugs: a time-out, a refusal, an unreadable answer lengthen the pause and
are reported once; they say nothing about the workload. After a 404 the workload is looked up among
the deleted ones before that means anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from airflow_runai.core.decision import Snapshot, WaitPolicy, because, decide
from airflow_runai.core.flow import Flow, Notice, Sleep
from airflow_runai.core.flow import now as present
from airflow_runai.core.outcome import TIMED_OUT, Outcome, news
from airflow_runai.core.phases import OVER
from airflow_runai.core.timeline import UNSEEN, Moment, merge
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, Refused, Throttled, Unreachable

#: Ceiling of the pause between looks at an unreachable control plane, seconds.
MAX_PAUSE = 300.0

#: A workload that is younger than this many seconds when it is first seen has hardly been preempted
#: before.
FRESH = 120.0

#: The history of an ended workload may be unreadable this often in a row before we do without.
MAX_HISTORY_ATTEMPTS = 5

ReadWorkload = Callable[[str], "Flow[Workload]"]
ReadHistory = Callable[[str], "Flow[tuple[Moment, ...]]"]
FindDeleted = Callable[[str], "Flow[Workload | None]"]


@dataclass(frozen=True)
class WorkloadReader:
    """
    The three ways in which a wait reads a workload, each a flow that takes its id.

    :param read: the current reading; raises ``NotFound``.
    :param history: what the server remembers; empty where it keeps none.
    :param find_deleted: the workload among the deleted ones, or ``None``.
    """

    read: ReadWorkload
    history: ReadHistory
    find_deleted: FindDeleted


def wait(
    policy: WaitPolicy, reader: WorkloadReader, start: Workload, timeline: tuple[Moment, ...] = ()
) -> Flow[Outcome]:
    """
    Look at a workload until :func:`decide` says that the wait is over.

    Transient errors and refusals lengthen the pause (with jitter) and are reported once per kind.
    The deadline ends the wait even while nothing can be read.

    :param start: the last known reading; its id and name are what is waited for.
    :param timeline: its past, as an earlier wait has seen it.
    """
    snapshot, outage = _first(start, timeline), _Outage()
    while True:
        before = snapshot
        try:
            insist = outage.failures < MAX_HISTORY_ATTEMPTS
            snapshot = yield from _next_snapshot(reader, before, insist)
        except (Unreachable, Refused) as error:
            if outage.record_failure(error):
                yield Notice("trouble", _unreadable(start, error))
            snapshot = replace(before, taken_at=(yield from present()), blind=True)
            back_off = Sleep(_back_off(policy, outage.failures, error), jitter=0.3)
        else:
            yield from _report_recovery(outage)
            if snapshot.timeline != before.timeline:
                yield _news(snapshot)
        decision = decide(policy, snapshot)
        if isinstance(decision, Outcome):
            return decision
        yield back_off if snapshot.blind else Sleep(decision.seconds, jitter=0.1)


def _unreadable(workload: Workload, error: Exception) -> str:
    return f"cannot read workload {workload.name} ({error}); its state is unknown, still waiting"


def appearance(
    policy: WaitPolicy, find: Callable[[], Flow[Workload | None]], wanted: Workload
) -> Flow[Workload | Outcome]:
    """Look for a workload by name until there is one, or until the policy's deadline."""
    outage = _Outage()
    while True:
        try:
            found = yield from find()
            if found:
                return found
            yield from _report_recovery(outage)
        except (Unreachable, Refused) as error:
            if outage.record_failure(error):
                yield Notice("trouble", f"cannot look for {wanted.name} ({error}); still looking")
        moment = yield from present()
        if policy.deadline is not None and moment >= policy.deadline:
            reason = "no workload of this name appeared before the deadline"
            return Outcome(TIMED_OUT, "", wanted.name, "", reason, moment)
        yield Sleep(policy.poll_interval, jitter=0.1)


def take_snapshot(
    reader: WorkloadReader, start: Workload, timeline: tuple[Moment, ...] = ()
) -> Flow[Snapshot]:
    """
    Read a workload once, to poke instead of waiting (sensors), or to check again.

    :param timeline: its past, as far as known.
    """
    return (yield from _next_snapshot(reader, _first(start, timeline)))


def _report_recovery(outage: _Outage) -> Flow[None]:
    if outage.recovered():
        yield Notice("trouble", "the control plane answers again")


@dataclass
class _Outage:
    """A stretch of time without an answer."""

    failures: int = 0
    kinds: set[str] = field(default_factory=set)

    def record_failure(self, error: Exception) -> bool:
        """Count a failure; return whether it is the first of its kind."""
        kind = type(error).__name__
        is_new = kind not in self.kinds
        self.failures += 1
        self.kinds.add(kind)
        return is_new

    def recovered(self) -> bool:
        """Forget the failures; return whether there were any."""
        was_out = self.failures > 0
        self.failures = 0
        self.kinds.clear()
        return was_out


def _first(start: Workload, timeline: tuple[Moment, ...] = ()) -> Snapshot:
    created = (Moment(start.created_at, UNSEEN),) if start.created_at else ()
    # Older moments are those of the generation before it, from a wait that ended late.
    timeline = tuple(moment for moment in timeline if moment.at >= start.created_at - 1.0)
    # An empty phase is like no other, so that the first look always reads the history.
    unread = replace(start, phase="", phase_updated_at=None)
    return Snapshot(unread, timeline or created, start.created_at)


def _next_snapshot(reader: WorkloadReader, before: Snapshot, insist: bool = True) -> Flow[Snapshot]:
    last = before.workload
    workload: Workload | None
    try:
        workload = yield from reader.read(last.id)
    except NotFound:
        workload = yield from reader.find_deleted(last.id)
    moment = yield from present()
    if workload is None:
        return Snapshot(last, before.timeline, moment, before.absent_since or moment)
    if _progress(workload) == _progress(last):
        return Snapshot(workload, before.timeline, moment)
    timeline = yield from _remembered(reader, workload, before.timeline, insist)
    timeline = merge(timeline, _own_sightings(workload, timeline, moment))
    return Snapshot(workload, _begun(timeline), moment)


def _progress(workload: Workload) -> tuple[str, float | None, bool]:
    return workload.phase, workload.phase_updated_at, workload.deleted


def _remembered(
    reader: WorkloadReader, found: Workload, own: tuple[Moment, ...], insist: bool
) -> Flow[tuple[Moment, ...]]:
    """
    Return the server's records, and our own sightings before its oldest one (they may be cut off).

    Without the records the clocks may be wrong, and wrong clocks end a wait: so :func:`decide` only
    sees a reading without them if it is an end, which no clock changes.

    :param insist: even for an end, raise instead of doing without the records.
    """
    try:
        recorded = yield from reader.history(found.id)
    except Unreachable:
        if insist or found.meaning not in OVER:
            raise
        recorded = ()
    return merge(recorded, (m for m in own if not recorded or m.at < recorded[0].at))


def _own_sightings(found: Workload, timeline: tuple[Moment, ...], now: float) -> Iterator[Moment]:
    """
    Yield the moments that this reading itself shows; the clocks need no others.

    A reading that is older than the newest record (a lagging list) adds nothing.
    """
    if found.created_at and (not timeline or found.created_at < timeline[0].at):
        yield Moment(found.created_at, UNSEEN)
    at = found.phase_updated_at or now
    if not timeline or (timeline[-1].phase != found.phase and at >= timeline[-1].at):
        yield Moment(at, found.phase, found.message)


def _begun(timeline: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """Fill in the unseen beginning, if it was too short for a run and a preemption."""
    if len(timeline) < 2 or timeline[0].phase != UNSEEN or timeline[1].at - timeline[0].at > FRESH:
        return timeline
    return merge((replace(timeline[0], phase="Creating"), *timeline[1:]))


def _news(snapshot: Snapshot) -> Notice:
    last = snapshot.timeline[-1]
    text = f"{snapshot.workload.name}: {last.phase}{because(last.message)}"
    return Notice("timeline", text, news(snapshot.timeline, snapshot.clocks, last.phase))


def _back_off(policy: WaitPolicy, failures: int, error: Exception) -> float:
    if isinstance(error, Throttled) and error.retry_after is not None:
        return min(max(error.retry_after, 1.0), MAX_PAUSE)
    ceiling = max(policy.poll_interval, MAX_PAUSE)
    return float(min(policy.poll_interval * 2 ** min(failures - 1, 10), ceiling))

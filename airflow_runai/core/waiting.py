"""
Waiting for a workload, as a conversation that looks again and again until :mod:`verdict` says that it is over.

It survives everything but bugs: a time-out, a refusal, an unreadable answer lengthen the pause and
are told once; they say nothing about the workload. A 404 is looked up among the deleted workloads
before it means anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

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

#: What is younger than this many seconds at its first sighting has hardly run and been preempted
#: before.
FRESH = 120.0

#: How often in a row the history of a workload that has ended may be unreadable before we do
#: without.
MAX_HISTORY_ATTEMPTS = 5

ReadWorkload = Callable[[str], "Flow[Workload]"]
ReadHistory = Callable[[str], "Flow[tuple[Moment, ...]]"]
FindDeleted = Callable[[str], "Flow[Workload | None]"]


@dataclass(frozen=True)
class WorkloadReader:
    """
    The three ways in which a wait looks at a workload, each a flow that takes its id.

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

    Survives everything but bugs: transient errors and refusals lengthen the pause (with jitter) and
    are told once per kind. Whether the deadline has passed is decided even while nothing can be
    read.

    :param start: the last known reading; its id and name are what is waited for.
    :param timeline: what an earlier wait has seen of its past.
    """
    seen, outage = _first(start, timeline), _Outage()
    while True:
        try:
            before, seen = (
                seen,
                (
                    yield from _next_snapshot(
                        reader, seen, insist=outage.failures < MAX_HISTORY_ATTEMPTS
                    )
                ),
            )
        except (Unreachable, Refused) as error:
            if outage.record_failure(error):
                words = (
                    f"cannot look at {start.name} ({error}); this says nothing about it, waiting on"
                )
                yield Notice("trouble", words)
            seen = replace(seen, taken_at=(yield from present()), blind=True)
            pause = Sleep(_back_off(policy, outage.failures, error), jitter=0.3)
        else:
            yield from _told_again(outage)
            if seen.timeline != before.timeline:
                yield _news(seen)
            pause = Sleep(policy.poll_interval, jitter=0.1)
        verdict = decide(policy, seen)
        if isinstance(verdict, Outcome):
            return verdict
        yield pause if seen.blind else replace(pause, seconds=verdict.seconds)


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
            yield from _told_again(outage)
        except (Unreachable, Refused) as error:
            if outage.record_failure(error):
                yield Notice("trouble", f"cannot look for {wanted.name} ({error}); looking on")
        moment = yield from present()
        if policy.deadline is not None and moment >= policy.deadline:
            reason = "no workload of this name appeared before the deadline"
            return Outcome(TIMED_OUT, "", wanted.name, "", reason, moment)
        yield Sleep(policy.poll_interval, jitter=0.1)


def take_snapshot(
    reader: WorkloadReader, start: Workload, timeline: tuple[Moment, ...] = ()
) -> Flow[Snapshot]:
    """
    Take a single look, for those who poke instead of waiting (sensors), or look again.

    :param timeline: what is known of its past.
    """
    return (yield from _next_snapshot(reader, _first(start, timeline)))


def _told_again(outage: _Outage) -> Flow[None]:
    if outage.recovered():
        yield Notice("trouble", "the control plane answers again")


@dataclass
class _Outage:
    """What is remembered of a stretch in which nobody answers."""

    failures: int = 0
    kinds: frozenset[str] = frozenset()

    def record_failure(self, error: Exception) -> bool:
        self.failures += 1
        known, self.kinds = self.kinds, self.kinds | {type(error).__name__}
        return known != self.kinds

    def recovered(self) -> bool:
        was, self.failures, self.kinds = self.failures > 0, 0, frozenset()
        return was


def _first(start: Workload, timeline: tuple[Moment, ...] = ()) -> Snapshot:
    born = (Moment(start.created_at, UNSEEN),) if start.created_at else ()
    # What was shown before its creation is told of the generation before it, by a wait that ended
    # late.
    timeline = tuple(moment for moment in timeline if moment.at >= start.created_at - 1.0)
    # "Not looked yet" is a phase of its own, so that the first look always reads the history.
    return Snapshot(
        replace(start, phase="", phase_updated_at=None), timeline or born, start.created_at
    )


def _next_snapshot(reader: WorkloadReader, before: Snapshot, insist: bool = True) -> Flow[Snapshot]:
    known = before.workload
    found: Workload | None
    try:
        found = yield from reader.read(known.id)
    except NotFound:
        found = yield from reader.find_deleted(known.id)
    moment = yield from present()
    if found is None:
        return Snapshot(known, before.timeline, moment, before.absent_since or moment)
    if (known.phase, known.phase_updated_at, known.deleted) == (
        found.phase,
        found.phase_updated_at,
        found.deleted,
    ):
        return Snapshot(found, before.timeline, moment)
    timeline = yield from _remembered(reader, found, before.timeline, insist)
    return Snapshot(found, _begun(merge(timeline, _own_sightings(found, timeline, moment))), moment)


def _remembered(
    reader: WorkloadReader, found: Workload, own: tuple[Moment, ...], insist: bool
) -> Flow[tuple[Moment, ...]]:
    """
    Return what the server remembers; before its oldest record (they may be cut off), what we saw ourselves.

    Without the records the clocks may be wrong, and wrong clocks end a wait: so :func:`decide` only
    gets to see a reading without them if it is an end, which no clock changes.

    :param insist: even then, first try again.
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
    Tell what this reading itself says about the past; enough for the clocks where the server keeps no history.

    A reading that is older than the newest record (a lagging list) adds nothing.
    """
    if found.created_at and (not timeline or found.created_at < timeline[0].at):
        yield Moment(found.created_at, UNSEEN)
    at = found.phase_updated_at or now
    if not timeline or (timeline[-1].phase != found.phase and at >= timeline[-1].at):
        yield Moment(at, found.phase, found.message)


def _begun(timeline: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """Fill in the beginning that nobody saw, if it was too short for a run and a preemption."""
    if len(timeline) < 2 or timeline[0].phase != UNSEEN or timeline[1].at - timeline[0].at > FRESH:
        return timeline
    return merge((replace(timeline[0], phase="Creating"), *timeline[1:]))


def _news(seen: Snapshot) -> Notice:
    last = seen.timeline[-1]
    words = f"{seen.workload.name}: {last.phase}{because(last.message)}"
    return Notice("timeline", words, news(seen.timeline, seen.clocks, last.phase))


def _back_off(policy: WaitPolicy, failures: int, error: Exception) -> float:
    if isinstance(error, Throttled) and error.retry_after is not None:
        return min(max(error.retry_after, 1.0), MAX_PAUSE)
    ceiling = max(policy.poll_interval, MAX_PAUSE)
    return float(min(policy.poll_interval * 2 ** min(failures - 1, 10), ceiling))

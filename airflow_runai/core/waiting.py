"""
Waiting for a workload, as a flow that takes reading after reading until :func:`decide` ends it.

Whether somebody polls for the readings or a watcher brings them, the wait does not know.

It survives everything but bugs: a time-out, a refusal, an unreadable answer lengthen the pause and
are reported once; they say nothing about the workload. After a 404 the workload is looked up among
the deleted ones before that means anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from airflow_runai.core.decision import Snapshot, WaitPolicy, decide, past_needed_in
from airflow_runai.core.flow import Flow, Notice, Sleep
from airflow_runai.core.flow import now as present
from airflow_runai.core.outcome import TIMED_OUT, Outcome
from airflow_runai.core.phase_news import RECENT, departure, sighting, tell_news
from airflow_runai.core.phases import OVER
from airflow_runai.core.progress import StepProgress
from airflow_runai.core.reader import WorkloadReader
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


def wait(
    policy: WaitPolicy,
    reader: WorkloadReader,
    start: Workload,
    timeline: tuple[Moment, ...] = (),
    steps: Callable[[Snapshot], StepProgress | None] | None = None,
) -> Flow[Outcome]:
    """
    Follow a workload until :func:`decide` says that the wait is over.

    Transient errors and refusals lengthen the pause (with jitter) and are reported once per kind.
    The deadline ends the wait even while nothing can be read. The history is read when it can
    matter: when the phase changes, before a clock can reach its timeout, and at the end.

    :param start: the last known reading; its id and name are what is waited for.
    :param timeline: its past, as an earlier wait has seen it.
    :param steps: called with each reading; tells what is known of the training's steps.
    """
    outage, pace = _Outage(), Sleep(0)
    snapshot = _first(start, (yield from present()), timeline)
    seconds = math.inf if policy.deadline is None else max(0.0, policy.deadline - snapshot.taken_at)
    while True:
        before = snapshot
        try:
            insist = outage.failures < MAX_HISTORY_ATTEMPTS
            found: Workload | None
            try:
                found = yield from reader.following(before.workload, seconds, pace)
            except NotFound:
                found = yield from reader.find_deleted(start.id)
            snapshot = yield from _understood(policy, reader, before, found, insist)
        except (Unreachable, Refused) as error:
            if outage.record_failure(error):
                yield Notice("trouble", _unreadable(start, error))
            snapshot = replace(before, taken_at=(yield from present()), blind=True)
            pace = Sleep(_back_off(policy, outage.failures, error), jitter=0.3)
        else:
            if steps and (progress := steps(snapshot)):
                snapshot = replace(snapshot, progress=progress)
            yield from _report(outage, before, snapshot)
            pace = _calm(policy.poll_interval)
        decision = decide(policy, snapshot)
        if isinstance(decision, Outcome):
            ended = {"status": decision.status, "reason": decision.reason}
            yield Notice("end", "", {**decision.to_news(), **ended})
            return decision
        seconds = min(decision.seconds, pace.seconds) if snapshot.blind else decision.seconds
        del before, decision  # it may sleep for days, as one of thousands


def _report(outage: _Outage, before: Snapshot, snapshot: Snapshot) -> Flow[None]:
    yield from _report_recovery(outage)
    # What an earlier wait has published likely: a thousand waits that start again are silent.
    if snapshot.timeline != before.timeline and not snapshot.past_unread:
        yield from tell_news(before, snapshot)
    elif not before.workload.phase:
        yield sighting(snapshot)


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
        yield _calm(policy.poll_interval)


def take_snapshot(
    reader: WorkloadReader, start: Workload, timeline: tuple[Moment, ...] = ()
) -> Flow[Snapshot]:
    """
    Read a workload and its past once, to poke instead of waiting (sensors), or to check again.

    :param timeline: its past, as far as known.
    """
    before = _first(start, start.created_at, timeline)
    found: Workload | None
    try:
        found = yield from reader.read(start.id)
    except NotFound:
        found = yield from reader.find_deleted(start.id)
    seen = _sighted(before, found, (yield from present()))
    return (yield from _with_past(reader, seen)) if found else seen


def _report_recovery(outage: _Outage) -> Flow[None]:
    if outage.recovered():
        yield Notice("trouble", "the platform answers again")


@dataclass(slots=True)
class _Outage:
    """A stretch of time without an answer."""

    failures: int = 0
    kinds: tuple[str, ...] = ()

    def record_failure(self, error: Exception) -> bool:
        """Count a failure; return whether it is the first of its kind."""
        kind = type(error).__name__
        is_new = kind not in self.kinds
        self.failures += 1
        if is_new:
            self.kinds += (kind,)
        return is_new

    def recovered(self) -> bool:
        """Forget the failures; return whether there were any."""
        was_out = self.failures > 0
        self.failures = 0
        self.kinds = ()
        return was_out


def _first(start: Workload, moment: float, timeline: tuple[Moment, ...] = ()) -> Snapshot:
    created = (Moment(start.created_at, UNSEEN),) if start.created_at else ()
    # An empty phase is like no other, so that the first reading is always taken for a change.
    unread = replace(start, phase="", phase_updated_at=None)
    timeline = _of_this_workload(timeline, start) or created
    return Snapshot(unread, timeline, moment, blind=True, past_unread=True)


def _of_this_workload(timeline: tuple[Moment, ...], workload: Workload) -> tuple[Moment, ...]:
    """Leave out older moments: those of the generation before it, from a wait that ended late."""
    return tuple(moment for moment in timeline if moment.at >= workload.created_at - 1.0)


def _understood(
    policy: WaitPolicy,
    reader: WorkloadReader,
    before: Snapshot,
    found: Workload | None,
    insist: bool,
) -> Flow[Snapshot]:
    """Return what is known with this reading; ask for the past where it can matter."""
    moment = yield from present()
    seen = _sighted(before, found, moment)
    if _is_news(before, seen) or (seen.past_unread and _needs_past(policy, seen)):
        yield from departure(before, seen)
        return (yield from _with_past(reader, seen, insist))
    return seen


def _sighted(before: Snapshot, found: Workload | None, moment: float) -> Snapshot:
    """Return what this reading alone adds to what was known."""
    if found is None:
        since = before.absent_since or moment
        return replace(before, taken_at=moment, absent_since=since, blind=False)
    timeline = before.timeline
    if _progress(found) != _progress(before.workload):
        timeline = _begun(merge(timeline, _own_sightings(found, timeline, moment)))
    return Snapshot(found, timeline, moment, past_unread=before.past_unread)


def _is_news(before: Snapshot, seen: Snapshot) -> bool:
    """Whether the phase has changed, and the past that was read does not hold it already."""
    found = seen.workload
    if _progress(found) == _progress(before.workload):
        return False
    if found.meaning in OVER or found.phase_updated_at is None:
        return True
    if before.workload.phase:
        return seen.past_unread or not _holds(before.timeline, found.phase, found.phase_updated_at)
    return seen.taken_at - found.phase_updated_at <= RECENT


def _holds(timeline: tuple[Moment, ...], phase: str, at: float) -> bool:
    last = timeline[-1]
    if phase != last.phase and at > last.at:
        return False  # the same phase once more, within a second
    return any(m.phase == phase and abs(m.at - at) <= 1.0 for m in reversed(timeline))


def _needs_past(policy: WaitPolicy, seen: Snapshot) -> bool:
    return past_needed_in(policy, seen) <= 0 or isinstance(decide(policy, seen), Outcome)


def _progress(workload: Workload) -> tuple[str, float | None, bool]:
    return workload.phase, workload.phase_updated_at, workload.deleted


def _with_past(reader: WorkloadReader, seen: Snapshot, insist: bool = True) -> Flow[Snapshot]:
    """
    Complete the timeline by the server's records; where they are cut off, by what was published.

    Without the records the clocks may be wrong, and wrong clocks end a wait: so :func:`decide` only
    sees a reading without them if it is an end, which no clock changes.

    :param insist: even for an end, raise instead of doing without the records.
    """
    found = seen.workload
    try:
        recorded = yield from reader.history(found.id)
    except Unreachable:
        if insist or found.meaning not in OVER:
            raise
        recorded = ()
    own = tuple(moment for moment in seen.timeline if moment.phase != UNSEEN)
    if seen.past_unread and not _is_whole(recorded, found):
        own = merge(_of_this_workload((yield from reader.published()), found), own)
    timeline = merge(recorded, (m for m in own if not recorded or m.at < recorded[0].at))
    if seen.absent_since is not None:
        return replace(seen, timeline=timeline or seen.timeline, past_unread=False)
    timeline = merge(timeline, _own_sightings(found, timeline, seen.taken_at))
    return replace(seen, timeline=_begun(timeline), past_unread=False)


def _is_whole(recorded: tuple[Moment, ...], found: Workload) -> bool:
    return bool(recorded) and recorded[0].at - found.created_at <= FRESH


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


@lru_cache(maxsize=64)
def _calm(seconds: float) -> Sleep:
    """Return the one pause of all that look equally often."""
    return Sleep(seconds, jitter=0.1)


def _back_off(policy: WaitPolicy, failures: int, error: Exception) -> float:
    if isinstance(error, Throttled) and error.retry_after is not None:
        return min(max(error.retry_after, 1.0), MAX_PAUSE)
    ceiling = max(policy.poll_interval, MAX_PAUSE)
    return float(min(policy.poll_interval * 2 ** min(failures - 1, 10), ceiling))

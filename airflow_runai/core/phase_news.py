"""What a wait says when it has learned more of a workload's history: a line for each new moment."""

from __future__ import annotations

from math import inf

from airflow_runai.core.dates import utc
from airflow_runai.core.decision import Snapshot
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.outcome import news
from airflow_runai.core.phases import GOING, Meaning
from airflow_runai.core.texts import plural, said
from airflow_runai.core.timeline import AWAY, UNSEEN, Moment

#: A moment that is younger than this many seconds when a wait begins is news: an earlier wait may
#: have been interrupted before it told it.
RECENT = 300.0

#: Lines at once, after an outage in which a workload was preempted hundreds of times.
MAX_LINES = 20


def tell_news(before: Snapshot, after: Snapshot) -> Flow[None]:
    """
    Tell each moment that ``after`` has and ``before`` had not, oldest first.

    The last notice is of the kind ``timeline``, which carries all that is known.
    """
    *earlier, last = _untold(before, after)
    name, left_out = after.workload.name, len(earlier) + 1 - MAX_LINES
    if left_out > 0:
        earlier = earlier[left_out:]
        changes = plural(left_out, "earlier change")
        yield Notice("moment", f"{name}: {changes} of its phase: see the timeline")
    for moment in earlier:
        yield Notice("moment", _line(name, moment))
    until = _guaranteed_until(after)
    words = f"; not preempted before {utc(until)}" if until is not None else ""
    yield Notice("timeline", _line(name, last) + words, snapshot_news(after))


def sighting(snapshot: Snapshot) -> Notice:
    """Return a first reading that holds no news, for what goes on beside the wait."""
    return Notice("sighting", "", snapshot_news(snapshot))


def departure(before: Snapshot, seen: Snapshot) -> Flow[None]:
    """
    Tell what goes on beside the wait at once if an incarnation leaves or has left.

    Its pod does not wait until the history is read, for which a storm may have to queue. What has
    succeeded leaves nothing: its end is the wait's.
    """
    ran, found = before.workload, seen.workload
    is_away = found.meaning in AWAY or found.meaning in GOING
    if ran.meaning is Meaning.RUNNING and is_away and not found.succeeds:
        since = ran.phase_updated_at or before.taken_at
        yield Notice("departure", "", {"phase": found.phase, "since": since})


def snapshot_news(snapshot: Snapshot) -> JsonObject:
    """Return what is published of a workload during the wait."""
    phase, progress = snapshot.timeline[-1].phase, snapshot.progress
    data = news(snapshot.timeline, snapshot.clocks, phase, progress=progress)
    if snapshot.workload.succeeds:
        data["succeeds"] = True
    until = _guaranteed_until(snapshot)
    return data if until is None else {**data, "guaranteed_until": until}


def _guaranteed_until(snapshot: Snapshot) -> float | None:
    until = snapshot.workload.guaranteed_until
    is_of_last = snapshot.workload.phase == snapshot.timeline[-1].phase
    return until if until is not None and until > snapshot.taken_at and is_of_last else None


def _untold(before: Snapshot, after: Snapshot) -> tuple[Moment, ...]:
    """Return the new moments; the last one if none is new, because its message is."""
    timeline = after.timeline
    if not before.workload.phase:
        since = after.taken_at - RECENT
        new = tuple(moment for moment in timeline if moment.at >= since and moment.phase != UNSEEN)
    else:
        new = _after(before.timeline[-1], timeline)
    return new or timeline[-1:]


def _after(last: Moment, timeline: tuple[Moment, ...]) -> tuple[Moment, ...]:
    # The server's record of a moment may be rounded, and several of one phase in one second: then
    # its words decide, or else it was the last of them, because a look sees the newest.
    likeness = [
        (-abs(moment.at - last.at), moment.message == last.message, index)
        for index, moment in enumerate(timeline)
        if moment.phase == last.phase
    ]
    distance, _, known = max(likeness, default=(-inf, False, 0))
    if distance >= -1.0:
        return timeline[known + 1 :]
    return tuple(moment for moment in timeline if moment.at > last.at)


def _line(name: str, moment: Moment) -> str:
    return f"{name}: {said(moment.phase, moment.message)}"

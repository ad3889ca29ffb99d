"""
What happens to a workload that people want to hear of, from its timeline alone.

An interruption is known when the workload waits again, not while its pods go down: a training that
ends by itself goes down as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.timeline import AWAY, UNSEEN, Moment, stretches

INTERRUPTION = "interruption"
RESUME = "resume"
STALL = "stall"
LONG_QUEUE = "long_queue"
KINDS = (INTERRUPTION, RESUME, STALL, LONG_QUEUE)


class Happening(NamedTuple):
    """
    One thing that happened.

    :param kind: one of :data:`KINDS`.
    :param at: epoch seconds.
    :param preempted: the platform itself calls this interruption a preemption.
    :param reason: the words for a stall.
    """

    kind: str
    at: float
    preempted: bool = False
    reason: str = ""


def changes(timeline: Sequence[Moment]) -> tuple[Happening, ...]:
    """Return the interruptions and resumptions in a timeline, oldest first."""
    found: list[Happening] = []
    ran = away = preempted = False
    for part in stretches(timeline, timeline[-1].at if timeline else 0.0):
        if part.runs:
            if away:
                found.append(Happening(RESUME, part.at))
            ran, away, preempted = True, False, False
            continue
        # The words may come with the pods that go down, before the workload waits.
        preempted |= part.preempted
        if ran and not away and part.kind in AWAY:
            found.append(Happening(INTERRUPTION, part.at, preempted))
            away = True
    return tuple(found)


def new_changes(timeline: Sequence[Moment], after: float) -> tuple[Happening, ...]:
    """Return the changes that came after a moment (epoch seconds)."""
    return tuple(one for one in changes(timeline) if one.at > after)


def queueing_since(timeline: Sequence[Moment]) -> float | None:
    """
    Return since when a workload has been waiting for GPUs; ``None`` if it is not.

    Of the time before the first sighting nothing is known, so that does not count.
    """
    since: float | None = None
    for moment in reversed(timeline):
        kind = meaning(moment.phase)
        if kind is Meaning.UNKNOWN and moment.phase != UNSEEN:
            continue
        if kind is not Meaning.WAITING:
            break
        since = moment.at
    return since


def sentence(name: str, happened: Sequence[Happening], phase: str, now: float) -> str:
    """
    Return one sentence for one or more happenings of one kind.

    :param phase: of the workload now.
    """
    kind, count = happened[0].kind, len(happened)
    times = "" if count == 1 else f" {count} times"
    if kind == STALL:
        return f"{name} stalled: {happened[-1].reason}"
    if kind == LONG_QUEUE:
        return f"{name} has been waiting for GPUs for {_duration(now - happened[-1].at)}"
    if kind == RESUME:
        return f"{name} ran again{times}; it is {phase} now"
    preempted = sum(one.preempted for one in happened)
    if preempted == count:
        return f"{name} was preempted{times}; it is {phase} now"
    of_them = f", {preempted} of them by preemption" if preempted else ""
    return f"{name} was interrupted{times}{of_them}; it is {phase} now"


def _duration(seconds: float) -> str:
    minutes = max(0, int(seconds)) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"

"""
A workload's history, and the clocks that follow from it.

The clocks are *computed* from the moments that the server recorded, never accumulated in memory, so
a restarted triggerer loses nothing. A phase that nobody knows (link lost, newer server) carries no
information and changes no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_runai.core.phases import FINAL, Meaning, meaning

#: The timeline goes to XCom; a training that is preempted hourly for weeks must not grow it without
#: bound.
TIMELINE_LIMIT = 200

#: "Phase" of the time between submission and the first sighting, where nothing tells what the
#: workload did then.
UNSEEN = "(not seen)"

_AWAY = frozenset({Meaning.WAITING, Meaning.STARTING, Meaning.SUSPENDED})


@dataclass(frozen=True)
class Moment:
    """
    The workload entered ``phase`` at ``at`` (epoch seconds).

    :param message: the platform's words for it; may be empty.
    """

    at: float
    phase: str
    message: str = ""

    @property
    def is_preemption(self) -> bool:
        """Whether the platform itself calls this a preemption (we never guess)."""
        return "preempt" in self.message.lower()


@dataclass(frozen=True)
class Clocks:
    """
    How long the workload spent in which condition, in seconds.

    :param queue: from submission to the first run.
    :param interruption: the present stretch of not running after the first run; 0 while it runs.
    :param interrupted_total: all such stretches.
    :param running: all running stretches.
    :param total: since submission.
    :param interruptions: how often it stopped running without being finished.
    :param preemptions: how many of those the platform itself called preemptions.
    """

    queue: float = 0.0
    interruption: float = 0.0
    interrupted_total: float = 0.0
    running: float = 0.0
    total: float = 0.0
    interruptions: int = 0
    preemptions: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, seconds rounded to milliseconds."""
        return {key: round(value, 3) for key, value in asdict(self).items()}


def merge(*sources: Iterable[Moment]) -> tuple[Moment, ...]:
    """
    Unite moments from several sources, oldest first, without repeating an unchanged phase.

    A later source only fills in what earlier ones did not see: of two neighbours with the same
    phase the first is kept, with the words of the one that says more. What earlier sources have is
    not taken again, so that moments of one second keep their order.
    """
    found: list[Moment] = []
    for source in sources:
        known = {(m.at, m.phase) for m in found}
        found += [m for m in source if (m.at, m.phase) not in known]
    merged: list[Moment] = []
    for moment in sorted(found, key=lambda m: m.at):
        if not merged or merged[-1].phase != moment.phase:
            merged.append(moment)
        elif _says_more(moment, merged[-1]):
            merged[-1] = Moment(merged[-1].at, moment.phase, moment.message)
    return tuple(merged)


def _says_more(moment: Moment, before: Moment) -> bool:
    """
    Words beat silence, and words of a preemption beat any others: they decide what is counted.
    """
    return bool(moment.message and not before.message) or (
        moment.is_preemption and not before.is_preemption
    )


def bounded(timeline: Sequence[Moment], limit: int = TIMELINE_LIMIT) -> tuple[Moment, ...]:
    """Keep the first moments (submission, first run) and the newest ones; drop the middle beyond ``limit``."""
    if len(timeline) <= limit:
        return tuple(timeline)
    head = limit // 10
    return (*timeline[:head], *timeline[head - limit :])


def clocks(timeline: Sequence[Moment], now: float) -> Clocks:
    """
    Compute all clocks of a workload as seen at ``now``.

    :param timeline: oldest first; may be empty (all clocks 0).
    :param now: epoch seconds; for a finished workload the clocks stand still at its last moment.
        Where the beginning is :data:`UNSEEN`, only ``total`` counts until it is seen to run.
    """
    timeline = merge(timeline)  # a phase that is told twice is one stretch
    if not timeline:
        return Clocks()
    queue = away = running = interruption = 0.0
    interruptions = preemptions = 0
    ran = counted = said = named = False
    # Whether what waits now has run before is not known: then neither "queue" nor "interruption"
    # would be the truth.
    unseen, doubtful = 0.0, timeline[0].phase == UNSEEN
    for kind, seconds, preempted in _stretches(timeline, now):
        if kind is Meaning.RUNNING:
            ran, counted, named, interruption = True, False, False, 0.0
            # Words spoken while it leaves belong to the interruption that follows.
            running, said = running + seconds, preempted
        elif not ran and doubtful:
            unseen += seconds
        elif not ran:
            queue += seconds
        elif kind not in FINAL:
            away, interruption = away + seconds, interruption + seconds
            said = said or preempted
            interruptions += kind in _AWAY and not counted
            counted = counted or kind in _AWAY
            preemptions += said and counted and not named
            named = said and counted
    return Clocks(
        queue,
        interruption,
        away,
        running,
        queue + away + running + unseen,
        interruptions,
        preemptions,
    )


def last_meaning(timeline: Sequence[Moment]) -> Meaning | None:
    """Return what the last moment means; the removal of a finished workload does not change how it ended."""
    return _kinds(_known(timeline))[-1] if timeline else None


def _stretches(timeline: Sequence[Moment], now: float) -> Iterator[tuple[Meaning, float, bool]]:
    known = _known(timeline)
    for moment, following, kind in zip(known, [*known[1:], None], _kinds(known), strict=True):
        end = following.at if following else max(now, moment.at)
        seconds = 0.0 if kind in FINAL else max(0.0, end - moment.at)
        yield kind, seconds, moment.is_preemption and meaning(moment.phase) is not Meaning.RUNNING


def _known(timeline: Sequence[Moment]) -> list[Moment]:
    """
    Leave out what carries no information; the first moment stays, because it is the submission.
    """
    return [m for i, m in enumerate(timeline) if i == 0 or meaning(m.phase) is not Meaning.UNKNOWN]


def _kinds(known: Sequence[Moment]) -> list[Meaning]:
    """Tell what each stretch was, where its neighbours tell more than its own phase."""
    kinds = [meaning(moment.phase) for moment in known]
    if kinds and kinds[0] is Meaning.UNKNOWN:
        kinds[0] = Meaning.WAITING
    for index in range(1, len(kinds)):
        before, following = kinds[index - 1], kinds[index + 1 : index + 2]
        if kinds[index] in (Meaning.LEAVING, Meaning.DELETING) and before in FINAL:
            kinds[index] = before
        elif (
            kinds[index] is Meaning.LEAVING
            and before is Meaning.RUNNING
            and FINAL.intersection(following)
        ):
            kinds[index] = Meaning.RUNNING
    return kinds

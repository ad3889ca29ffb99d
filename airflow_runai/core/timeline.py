"""
A workload's history, and the clocks that follow from it.

The clocks are *computed* from the moments that the server recorded, never accumulated in memory, so
a restarted triggerer loses nothing. An unknown phase (link lost, newer server) carries no
information and changes no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.phases import FINAL, Meaning, meaning

#: The timeline goes to XCom; a training that is preempted hourly for weeks must not grow it without
#: bound.
TIMELINE_LIMIT = 200

#: "Phase" of the time between submission and the first sighting, of which nothing is known.
UNSEEN = "(not seen)"

#: Not running: after a run, each of them makes the stretch an interruption.
AWAY = frozenset({Meaning.WAITING, Meaning.STARTING, Meaning.SUSPENDED})
#: The platform's words for a preemption of this workload: not for one that could be preempted, or
#: that waits for the preemption of another. The tab's ``causes.js`` has the same.
PREEMPTED = re.compile(
    r"(?<!\bnot )(?<!\bnever )(?<!\bbe )preempted\b"
    r"|(?<!\bno )(?<!\bpending )(?<!\bpending the )(?<!\bwaiting for )(?<!after)preemption"
    r"(?!\s*(?:of|is|victims?|policy)\b|\s*:\s*\d)",
    re.IGNORECASE,
)
#: Its pods are going down, and hold their GPUs until they are gone.
_GOING_DOWN = ("Stopping", "Suspending")


@dataclass(frozen=True, slots=True)
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
        return bool(PREEMPTED.search(self.message))


@dataclass(frozen=True)
class Clocks:
    """
    How long the workload spent in which condition, in seconds.

    :param queue: from submission to the first run.
    :param interruption: the present stretch of not running after the first run; 0 while it runs.
    :param interrupted_total: all such stretches.
    :param running: all running stretches.
    :param total: since submission.
    :param holding: in which it held its GPUs: starting, running, going down.
    :param interruptions: how often it stopped running without being finished.
    :param preemptions: how many of those the platform itself called preemptions.
    """

    queue: float = 0.0
    interruption: float = 0.0
    interrupted_total: float = 0.0
    running: float = 0.0
    total: float = 0.0
    holding: float = 0.0
    interruptions: int = 0
    preemptions: int = 0

    def to_dict(self) -> JsonObject:
        """Return plain JSON values, seconds rounded to milliseconds."""
        return {key: round(value, 3) for key, value in asdict(self).items()}


def merge(*sources: Iterable[Moment]) -> tuple[Moment, ...]:
    """
    Unite moments from several sources, oldest first, without repeating an unchanged phase.

    A later source only fills in what earlier ones did not see: of two neighbours with the same
    phase the first is kept, with the message of the one that says more. What earlier sources have
    is not taken again, so that moments of one second keep their order.
    """
    moments: list[Moment] = []
    for source in sources:
        known = {(moment.at, moment.phase) for moment in moments}
        moments += [moment for moment in source if (moment.at, moment.phase) not in known]
    return _without_repeats(sorted(moments, key=lambda moment: moment.at))


def _without_repeats(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    merged: list[Moment] = []
    for moment in moments:
        if not merged or merged[-1].phase != moment.phase:
            merged.append(moment)
        elif _says_more(moment, merged[-1]):
            merged[-1] = Moment(merged[-1].at, moment.phase, moment.message)
    return tuple(merged)


def _says_more(moment: Moment, before: Moment) -> bool:
    # A message of a preemption beats any other: it decides what is counted.
    if moment.is_preemption and not before.is_preemption:
        return True
    return bool(moment.message and not before.message)


def bounded(timeline: Sequence[Moment], limit: int = TIMELINE_LIMIT) -> tuple[Moment, ...]:
    """Keep the first moments (submission, first run) and the newest; drop the middle."""
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
    parts = stretches(timeline, now)
    if not parts:
        return Clocks()
    runs_from = next((i for i, s in enumerate(parts) if s.runs), len(parts))
    before_first_run = sum(part.seconds for part in parts[:runs_from])
    running = sum(part.seconds for part in parts if part.runs)
    gaps = _gaps(parts[runs_from:])
    interrupted = sum(gap.seconds for gap in gaps)
    # Whether a workload whose beginning nobody saw has run before is not known: then neither
    # "queue" nor "interruption" would be the truth.
    is_queue_known = timeline[0].phase != UNSEEN
    return Clocks(
        queue=before_first_run if is_queue_known else 0.0,
        interruption=gaps[-1].seconds if gaps else 0.0,
        interrupted_total=interrupted,
        running=running,
        total=before_first_run + running + interrupted,
        holding=sum(part.seconds for part in parts if part.holds),
        interruptions=sum(gap.is_interruption for gap in gaps),
        preemptions=sum(gap.is_interruption and gap.is_preemption for gap in gaps),
    )


class Stretch(NamedTuple):
    """
    The time between two moments.

    :param at: when it began, epoch seconds.
    :param kind: what its phase means, or its neighbours say it means.
    :param preempted: the platform's words call it a preemption.
    :param holds: the workload held its GPUs.
    """

    at: float
    kind: Meaning
    seconds: float
    preempted: bool
    holds: bool

    @property
    def runs(self) -> bool:
        """Whether the workload ran."""
        return self.kind is Meaning.RUNNING


@dataclass
class _Gap:
    """What follows a run until the next one; empty where one run follows another."""

    seconds: float = 0.0
    is_interruption: bool = False
    is_preemption: bool = False


def _gaps(stretches: Sequence[Stretch]) -> list[_Gap]:
    """Return the gap behind each run; the first stretch is a run."""
    gaps: list[_Gap] = []
    for stretch in stretches:
        if stretch.runs:
            # Words spoken while it leaves belong to the interruption that follows.
            gaps.append(_Gap(is_preemption=stretch.preempted))
        elif stretch.kind not in FINAL:
            gap = gaps[-1]
            gap.seconds += stretch.seconds
            gap.is_interruption |= stretch.kind in AWAY
            gap.is_preemption |= stretch.preempted
    return gaps


def last_meaning(timeline: Sequence[Moment]) -> Meaning | None:
    """Return the last moment's meaning; removing a finished workload does not change its end."""
    return _kinds(_known(timeline))[-1] if timeline else None


def stretches(timeline: Sequence[Moment], now: float) -> tuple[Stretch, ...]:
    """Return the stretches between the moments, oldest first; the last one ends ``now``."""
    # A phase that is reported twice is one stretch.
    return tuple(_stretches(merge(timeline), now)) if timeline else ()


def _stretches(timeline: Sequence[Moment], now: float) -> Iterator[Stretch]:
    known, holds = _known(timeline), False
    for moment, following, kind in zip(known, [*known[1:], None], _kinds(known), strict=True):
        end = following.at if following else now
        # The clocks of server and triggerer differ: no stretch is shorter than nothing.
        seconds = 0.0 if kind in FINAL else max(0.0, end - moment.at)
        runs = meaning(moment.phase) is Meaning.RUNNING
        holds = _holds(moment, kind, holds)
        yield Stretch(moment.at, kind, seconds, moment.is_preemption and not runs, holds)


def _holds(moment: Moment, kind: Meaning, held: bool) -> bool:
    """Return whether GPUs are held: pods that go down keep those that they have."""
    goes_down = kind in (Meaning.LEAVING, Meaning.DELETING) or moment.phase in _GOING_DOWN
    return kind in (Meaning.STARTING, Meaning.RUNNING) or (held and goes_down)


def _known(timeline: Sequence[Moment]) -> list[Moment]:
    """Leave out unknown phases, but for the first moment, which is the submission."""
    return [m for i, m in enumerate(timeline) if i == 0 or meaning(m.phase) is not Meaning.UNKNOWN]


def _kinds(known: Sequence[Moment]) -> list[Meaning]:
    kinds = [meaning(moment.phase) for moment in known]
    if kinds and kinds[0] is Meaning.UNKNOWN:
        kinds[0] = Meaning.WAITING
    for index in range(1, len(kinds)):
        following = kinds[index + 1] if index + 1 < len(kinds) else None
        kinds[index] = _kind_between(kinds[index - 1], kinds[index], following)
    return kinds


def _kind_between(before: Meaning, kind: Meaning, following: Meaning | None) -> Meaning:
    """Return what a phase means between its neighbours."""
    if kind in (Meaning.LEAVING, Meaning.DELETING) and before in FINAL:
        return before  # the removal of a finished workload
    if kind is Meaning.LEAVING and before is Meaning.RUNNING and following in FINAL:
        return Meaning.RUNNING  # pods that go down because the training ended by itself
    return kind

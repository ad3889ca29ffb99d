"""
What a workload's time cost: GPU-seconds that it held, made use of, lost and waited for.

Whoever asks for GPUs waits for them, holds them, and keeps what a checkpoint keeps. All figures
follow from the timeline and from the checkpoints that work went on from; what is not known is
``None``, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.phases import Meaning
from airflow_runai.core.saves import Saved
from airflow_runai.core.timeline import TIMELINE_LIMIT, UNSEEN, Clocks, Moment, stretches

#: Fewer interruptions say too little about their rate.
MIN_INTERRUPTIONS = 3
#: Fewer measurements say too little about hours.
MIN_SAMPLES = 10
#: Below this utilization a GPU does nothing.
IDLE_PERCENT = 1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """
    GPU-seconds of one workload: ``waiting + allocated`` is wall clock × GPUs.

    ``starting + useful + lost`` is ``allocated``, where the three are known.

    :param gpus: asked for, all pods together.
    :param waiting: no GPU was held: queued, preempted, suspended.
    :param allocated: GPUs were held: starting, running, going down.
    :param starting: held before the first run.
    :param useful: of running, what a checkpoint or the end kept.
    :param lost: of running, what was done again, and what each interruption took: going down and
        starting again.
    """

    gpus: float
    waiting: float
    allocated: float
    starting: float | None = None
    useful: float | None = None
    lost: float | None = None

    def to_dict(self) -> JsonObject:
        """Return plain JSON values, rounded to milliseconds."""
        return {k: v if v is None else round(v, 3) for k, v in asdict(self).items()}


class Incarnation(NamedTuple):
    """
    The life of a workload between two interruptions.

    :param start: its first running moment, epoch seconds.
    :param end: when its GPUs were free again.
    """

    start: float
    end: float


def usage(
    timeline: Sequence[Moment],
    clocks: Clocks,
    now: float,
    gpus: float | None,
    resumed_from: Sequence[float] | None = None,
    kept_until: float | None = None,
) -> Usage | None:
    """
    Return what a workload's time cost.

    :param timeline: oldest first.
    :param clocks: of the whole timeline, as of ``now``.
    :param now: epoch seconds of the last reading.
    :param gpus: asked for; ``None`` if that is not known (GPU memory).
    :param resumed_from: for each incarnation but the first, when the checkpoint was written from
        which it went on, epoch seconds; 0 if it began anew. ``None``: unknown.
    :param kept_until: up to when the last incarnation's work is kept; infinite for a success.
    :return: ``None`` if ``gpus`` or the beginning is not known.
    """
    if gpus is None or not timeline or timeline[0].phase == UNSEEN:
        return None
    whole = Usage(gpus, (clocks.total - clocks.holding) * gpus, clocks.holding * gpus)
    made = runs(timeline, now)
    starting = _held_before_the_first_run(timeline, now)
    useful = _useful(made, resumed_from, kept_until)
    # A timeline that was cut tells neither.
    if len(timeline) >= TIMELINE_LIMIT or useful is None:
        return whole
    # Their sum may be wrong by a rounding, and "-0 lost" reads like a bug.
    lost = max(0.0, clocks.holding - starting - useful)
    return Usage(gpus, whole.waiting, whole.allocated, starting * gpus, useful * gpus, lost * gpus)


def runs(timeline: Sequence[Moment], now: float) -> tuple[Incarnation, ...]:
    """Return the incarnations, oldest first."""
    found: list[Incarnation] = []
    is_open = False
    for part in stretches(timeline, now):
        end = part.at + part.seconds
        # What starts again is not part of the run that ended.
        if is_open and part.holds and part.kind is not Meaning.STARTING:
            found[-1] = Incarnation(found[-1].start, end)
            continue
        is_open = part.runs
        if is_open:
            found.append(Incarnation(part.at, end))
    return tuple(found)


def resumed_from(
    saves: Sequence[Saved], lives: Sequence[Incarnation], is_whole: bool = True
) -> tuple[float, ...] | None:
    """
    Return when the checkpoint was written from which each incarnation but the first went on.

    That is the newest one before its start, of a lower step than all that it saved itself.

    :param is_whole: these are all that there ever were; otherwise the newest ones that were left.
    :return: epoch seconds, 0 where there is none; ``None`` if that cannot be told.
    """
    ends = [*(life.start for life in lives[2:]), math.inf]
    found: list[float] = []
    for life, end in zip(lives[1:], ends, strict=False):
        moment = _resumed_from(saves, life.start, end)
        # The oldest are removed first: where there is one, there was no newer one.
        if moment is None or not (moment or is_whole):
            return None
        found.append(moment)
    return tuple(found)


def _resumed_from(saves: Sequence[Saved], start: float, end: float) -> float | None:
    own = min((one.step for one in saves if start < one.at <= end), default=math.inf)
    before = [one for one in saves if one.at <= start]
    if any(one.step == own for one in before):
        return None  # it saved it again, or made the same step again
    return max((one.at for one in before if one.step < own), default=0.0)


def _held_before_the_first_run(timeline: Sequence[Moment], now: float) -> float:
    seconds = 0.0
    for part in stretches(timeline, now):
        if part.runs:
            break
        seconds += part.seconds if part.holds else 0.0
    return seconds


def _useful(
    made: Sequence[Incarnation], resumed_from: Sequence[float] | None, kept_until: float | None
) -> float | None:
    """Return the running seconds that were kept; ``None`` if that is not known."""
    if not made:
        return 0.0
    if len(made) == 1:
        resumed_from = ()
    if resumed_from is None or kept_until is None or len(resumed_from) != len(made) - 1:
        return None
    kept: list[Incarnation] = []
    for run, checkpoint in zip(made, (*resumed_from, kept_until), strict=True):
        # Going on from an old checkpoint loses what later incarnations did as well.
        kept = [Incarnation(one.start, min(one.end, checkpoint)) for one in [*kept, run]]
        kept = [one for one in kept if one.end > one.start]
    return sum(one.end - one.start for one in kept)


def best_interval(save_seconds: float | None, clocks: Clocks) -> float | None:
    """
    Return how many seconds apart checkpoints should be (Young 1974, refined by Daly 2006).

    With the cost δ of one save and the mean time M between interruptions, the least time is lost
    to saving and to repeated work at about ``sqrt(2 δ M) (1 + sqrt(δ/2M)/3 + δ/18M) − δ``.

    :param save_seconds: δ, as measured; ``None`` if unknown.
    :return: ``None`` below :data:`MIN_INTERRUPTIONS`, or where a save is not measured.
    """
    if not save_seconds or not 0 < save_seconds < math.inf:
        return None
    if clocks.interruptions < MIN_INTERRUPTIONS:
        return None
    mean = clocks.running / clocks.interruptions
    if save_seconds >= 2 * mean:
        return mean
    share = save_seconds / (2 * mean)
    young = math.sqrt(2 * save_seconds * mean)
    return young * (1 + math.sqrt(share) / 3 + share / 9) - save_seconds


class Sample(NamedTuple):
    """
    One measurement.

    :param at: epoch seconds.
    :param percent: utilization of the workload's GPUs, 0 to 100.
    """

    at: float
    percent: float


def idle_share(samples: Sequence[Sample], made: Sequence[Incarnation]) -> float | None:
    """
    Return the share of its runs in which a workload's GPUs did nothing, 0 to 1.

    :return: ``None`` for fewer than :data:`MIN_SAMPLES` measurements within the runs.
    """
    within = [sample for sample in samples if any(run.start <= sample.at < run.end for run in made)]
    if len(within) < MIN_SAMPLES:
        return None
    return sum(sample.percent < IDLE_PERCENT for sample in within) / len(within)

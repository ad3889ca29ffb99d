"""
The timeline of a training on Kubernetes: what its incarnations come down to, as moments.

Kubernetes keeps no history of phases. All clocks follow from these moments, so they survive a
restart wherever the incarnations do: in pods that still exist, and in the history annotation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.endings import KUEUE, SUSPENDED
from airflow_runai.core.kubernetes.incarnations import PodIncarnation
from airflow_runai.core.kubernetes.phase import PhaseReading, how_it_ended, telling
from airflow_runai.core.timeline import Moment, merge


def moments(
    case: Case, lives: Sequence[PodIncarnation], present: PhaseReading
) -> tuple[Moment, ...]:
    """
    Return the moments of a training, oldest first.

    :param lives: its incarnations, in the order of their pods' creation.
    :param present: its present phase, which is the last moment.
    """
    made = case.training.made
    past = [Moment(made, "Creating"), *_past(_stretches(lives, case.is_set))]
    is_last = present.phase in ("Failed", "Terminating", "Stopping")
    if is_last and past[-1].phase in ("Pending", "Stopped"):
        # Nothing has come after it: it was the end, and no interruption; or it is still leaving.
        del past[-1]
    # What an incarnation's end says of a later moment than the present is part of the present.
    before = [moment for moment in past if moment.at <= present.since or moment.at == made]
    return merge([*before, Moment(max(present.since, made), present.phase, present.message)])


def _stretches(
    lives: Sequence[PodIncarnation], is_gang: bool
) -> Iterator[tuple[list[PodIncarnation], float | None]]:
    """Yield the incarnations that lived together, and when that ended: with the first of a gang."""
    together: list[PodIncarnation] = []
    for one in lives:
        may_follow = together and (not is_gang or _is_next_of_gang(one, together))
        over = _over(together, is_gang, one.made) if may_follow else None
        if over is not None and one.made >= over:
            yield together, over
            together = []
        together.append(one)
    if together:
        yield together, _over(together, is_gang)


def _is_next_of_gang(one: PodIncarnation, together: Sequence[PodIncarnation]) -> bool:
    """Whether a member comes after those that lived together: it may only have started late."""
    return one.attempt != together[0].attempt or one.place in {other.place for other in together}


def _over(
    together: Sequence[PodIncarnation], is_gang: bool, latest: float | None = None
) -> float | None:
    """
    Return when the incarnations that lived together were over; ``None`` while they live.

    :param latest: when the next one was made; what ended while nobody looked ended before that.
    """
    known = [latest if one.end is None else one.end for one in together if one.ended]
    ends = [end for end in known if end is not None]
    if is_gang:
        return min(ends, default=None)
    return max(ends) if len(ends) == len(together) else None


def _past(
    stretches: Iterator[tuple[list[PodIncarnation], float | None]],
) -> Iterator[Moment]:
    for together, over in stretches:
        yield Moment(together[0].made, "Pending")
        starts = [one.start for one in together if one.start is not None]
        if len(starts) == len(together):
            yield Moment(max(starts), "Running")
        elif starts:
            yield Moment(min(starts), "Degraded")
        taken = telling(together)
        if over is not None and taken:
            is_stopped = taken.ended == SUSPENDED and taken.by != KUEUE
            yield Moment(over, "Stopped" if is_stopped else "Pending", how_it_ended(taken))

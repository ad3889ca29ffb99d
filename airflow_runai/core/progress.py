"""
How far a training is, from the steps of its checkpoints and the times at which they were seen.

Pure arithmetic. A step counts when it was *seen*, by the clock of the wait: times of files come
from other machines, and only tell whether a checkpoint is older than the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.saves import Saved, saves_from_json
from airflow_runai.core.timeline import Moment


@dataclass(frozen=True, slots=True)
class StepProgress:
    """
    What is known of a training's steps at one moment.

    :param step: of the newest checkpoint.
    :param at: epoch seconds at which it was first seen; ``None`` if it may be older than this run,
        or if the checkpoints cannot be seen now.
    :param target: the step at which the training is complete.
    :param per_hour: steps an hour while it runs.
    :param finish: epoch seconds at which it will be complete if nothing interrupts it.
    :param finish_with_waits: the same, if it is interrupted as much as so far.
    :param checkpoints: those that were seen, oldest first.
    :param is_whole: they have been looked at from the first run on, so none was missed.
    """

    step: int
    at: float | None = None
    target: int | None = None
    per_hour: float | None = None
    finish: float | None = None
    finish_with_waits: float | None = None
    checkpoints: tuple[Saved, ...] = ()
    is_whole: bool = False

    def to_json(self) -> JsonObject:
        """Return plain JSON values, rounded."""
        return {
            "step": self.step,
            "at": _rounded(self.at),
            "target": self.target,
            "per_hour": _rounded(self.per_hour),
            "finish": _rounded(self.finish),
            "finish_with_waits": _rounded(self.finish_with_waits),
            "checkpoints": [one.to_json() for one in self.checkpoints],
            "is_whole": self.is_whole,
        }

    @classmethod
    def from_json(cls, value: object) -> StepProgress | None:
        """Read what :meth:`to_json` wrote; ``None`` for anything else."""
        if not isinstance(value, dict) or not isinstance(value.get("step"), int):
            return None
        known: JsonMapping = {key: value[key] for key in cls.__dataclass_fields__ if key in value}
        return cls(**{**known, "checkpoints": saves_from_json(value.get("checkpoints"))})


@dataclass(frozen=True, slots=True)
class Track:
    """
    What one wait has seen of a training's steps.

    :param first: the first step that was seen, ``first_ran`` running seconds after the wait began.
    :param step: the newest one, ``ran`` running seconds after the wait began.
    :param at: see :class:`StepProgress`.
    """

    first: int
    first_ran: float
    step: int
    ran: float
    at: float | None = None


def sighted(track: Track | None, step: int, *, at: float, ran: float, is_fresh: bool) -> Track:
    """
    Return what is known after a look.

    :param at: epoch seconds of the look; ``ran``: running seconds since the wait began.
    :param is_fresh: the checkpoint was written during this run, by the times of its file.
    """
    seen_at = at if is_fresh else None
    # A run that could not go on from the newest one counts from a lower step.
    if track is None or step < track.step:
        return Track(step, ran, step, ran, seen_at)
    if step > track.step:
        return replace(track, step=step, ran=ran, at=seen_at)
    # The checkpoints were out of sight: nobody knows since when there is nothing new.
    return replace(track, at=at) if track.at is None and is_fresh else track


def out_of_sight(track: Track | None) -> Track | None:
    """Return what is known while the checkpoints cannot be seen: no time without a step counts."""
    return replace(track, at=None) if track else None


def estimate(
    track: Track, target: int | None, *, now: float, ran: float, waited: float
) -> StepProgress:
    """
    Return how far the training is, and when it will be complete.

    :param ran: running seconds since the wait began.
    :param waited: seconds of interruptions since then.
    """
    seconds = track.ran - track.first_ran
    pace = (track.step - track.first) / seconds if seconds > 0 else 0.0
    known = StepProgress(track.step, track.at, target, pace * 3600 if pace else None)
    if target is None or target <= track.step or not pace:
        return known
    left = max(0.0, (target - track.step) / pace - (ran - track.ran))
    return replace(known, finish=now + left, finish_with_waits=now + left * (ran + waited) / ran)


def idle_seconds(
    progress: StepProgress | None, timeline: Sequence[Moment], now: float
) -> float | None:
    """
    Return for how long it has run without a new step.

    :return: ``None`` while it does not run, before the first new step of an incarnation, after the
        last one, and where steps cannot be seen.
    """
    since = runs_since(timeline)
    if progress is None or progress.at is None or since is None or progress.at < since:
        return None
    if progress.target is not None and progress.step >= progress.target:
        return None  # what it does now makes no steps: a last evaluation, an export
    return now - progress.at


def runs_since(timeline: Sequence[Moment]) -> float | None:
    """Return when the present run began; ``None`` if it does not run."""
    since = None
    for moment in reversed(timeline):
        kind = meaning(moment.phase)
        if kind is Meaning.RUNNING:
            since = moment.at
        elif kind is not Meaning.UNKNOWN:
            break
    return since


def sentence(progress: StepProgress, now: float) -> str:
    """Return one line for people."""
    of = f" of {progress.target}" if progress.target is not None else ""
    words = [f"step {progress.step}{of}"]
    if progress.per_hour is not None:
        words.append(f"{progress.per_hour:.3g} steps an hour while running")
    if progress.finish is not None and progress.finish_with_waits is not None:
        left, with_waits = progress.finish - now, progress.finish_with_waits - now
        words.append(
            f"complete in {left / 3600:.1f} h, or in {with_waits / 3600:.1f} h with interruptions "
            "as so far"
        )
    return "; ".join(words)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

"""The checkpoints of one workload, as far as anybody has seen them; some are removed meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import NamedTuple

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.timeline import TIMELINE_LIMIT

#: The newest so many are kept, and of the older ones those from which an incarnation went on.
MAX_RECENT = 50


class Saved(NamedTuple):
    """
    A checkpoint.

    :param at: epoch seconds at which it was complete, by the storage's clock; 0 if it has none.
    """

    step: int
    at: float

    def to_json(self) -> JsonObject:
        """Return what the tab shows as a mark."""
        return {"step": self.step, "at": round(self.at, 3)}


def gathered(
    known: Iterable[Saved], found: Iterable[Saved], starts: Sequence[float]
) -> tuple[Saved, ...]:
    """
    Return what is known after a look, oldest first, bounded.

    :param starts: when each incarnation but the first began, epoch seconds.
    """
    every = sorted({*known, *found}, key=lambda one: (one.at, one.step))
    older, recent = every[:-MAX_RECENT], every[-MAX_RECENT:]
    gone_on_from = {index for start in starts if (index := _newest(older, start)) >= 0}
    return (*(older[index] for index in sorted(gone_on_from)), *recent)


def _newest(saves: Sequence[Saved], moment: float) -> int:
    return sum(one.at <= moment for one in saves) - 1


def saves_from_json(value: object) -> tuple[Saved, ...]:
    """Read what :meth:`Saved.to_json` wrote; leave out anything else."""
    listed = value if isinstance(value, (list, tuple)) else ()
    found = [_saved(entry) for entry in listed[: MAX_RECENT + TIMELINE_LIMIT]]
    return tuple(one for one in found if one is not None)


def _saved(entry: object) -> Saved | None:
    step, at = (entry.get("step"), entry.get("at")) if isinstance(entry, dict) else (None, None)
    if isinstance(step, bool) or not isinstance(step, int):
        return None
    # JSON of Python's may hold NaN, and a boolean is an int to it.
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not isfinite(at):
        return None
    return Saved(step, float(at))

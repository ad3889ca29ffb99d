"""The checkpoints of one workload, as far as anybody has seen them; some are removed meanwhile."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import NamedTuple

from airflow_runai.core.json_merge import JsonObject

#: The newest so many are kept, and of the older ones those from which the last so many incarnations
#: went on.
MAX_RECENT, MAX_STARTS = 50, 100


class Saved(NamedTuple):
    """
    A checkpoint.

    :param at: epoch seconds at which it was complete, by the storage's clock; 0 if it has none.
    """

    step: int
    at: float

    def to_json(self) -> JsonObject:
        """Return what the tab shows as a mark."""
        # As it is: it is compared with what a later listing says.
        return {"step": self.step, "at": self.at}


def gathered(
    known: Iterable[Saved], found: Iterable[Saved], starts: Sequence[float]
) -> tuple[Saved, ...]:
    """
    Return what is known after a look, oldest first, bounded.

    :param starts: when each incarnation but the first began, epoch seconds, oldest first.
    """
    every = _told_apart(sorted({*known, *found}, key=_age), starts)
    older, recent = every[:-MAX_RECENT], every[-MAX_RECENT:]
    times = [one.at for one in older]
    last = {bisect_right(times, start) - 1 for start in starts[-MAX_STARTS:]}
    return (*(older[index] for index in sorted(last) if index >= 0), *recent)


def _told_apart(every: Iterable[Saved], starts: Sequence[float]) -> list[Saved]:
    """Leave out what was only touched: a step is saved again by another incarnation only."""
    seen: dict[int, float] = {}
    found = []
    for one in every:
        before = seen.get(one.step)
        if before is None or bisect_right(starts, before) < bisect_right(starts, one.at):
            found.append(one)
            seen[one.step] = one.at
    return found


def _age(one: Saved) -> tuple[float, int]:
    return one.at, one.step


def of_this_run(
    saves: Sequence[Saved], submitted_at: float, runs_since: float | None
) -> Sequence[Saved]:
    """
    Return those that tell how far the training is: of its present run, or else of the workload.

    A root may hold those of an earlier training, and those of higher steps from which it could not
    go on. Where the storage has no times, and before the first one, all of them count.

    :param submitted_at: epoch seconds; ``runs_since`` of the present run.
    """
    for since in (runs_since, submitted_at):
        fresh = [one for one in saves if since is not None and one.at >= since]
        if fresh:
            return fresh
    return saves


def saves_from_json(value: object) -> tuple[Saved, ...]:
    """Read what :meth:`Saved.to_json` wrote; leave out anything else."""
    listed = value if isinstance(value, (list, tuple)) else ()
    return tuple(_saves(listed[-MAX_RECENT - MAX_STARTS :]))


def _saves(entries: Iterable[object]) -> Iterator[Saved]:
    for entry in entries:
        step, at = (entry.get("step"), entry.get("at")) if isinstance(entry, dict) else (None, None)
        if isinstance(step, bool) or not isinstance(step, int):
            continue
        # JSON of Python's may hold NaN, and a boolean is an int to it.
        if isinstance(at, bool) or not isinstance(at, (int, float)) or not isfinite(at):
            continue
        yield Saved(step, float(at))

"""What a wait and the watcher of its session have in common: the newest reading, and news of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from airflow_runai.backends import control_plane
from airflow_runai.backends.control_plane import ControlPlaneReader
from airflow_runai.backends.throttle import ENDED, HISTORY
from airflow_runai.core.flow import Flow, Signal, Sleep, Wait
from airflow_runai.core.phases import OVER
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, RunaiError, Unreadable

if TYPE_CHECKING:
    from airflow_runai.backends.rows import Row


_IDENTITY = ("id", "name", "project_id", "cluster_id", "kind", "created_at")


class Desk(Protocol):
    """Where waits register."""

    def join(self, wait: Watched) -> object:
        """Begin to bring news to a wait."""

    def leave(self, wait: Watched) -> object:
        """Forget a wait."""


class Watched(ControlPlaneReader):
    """
    A reader that sleeps until a watcher has news.

    It sends requests of its own only where a list is not enough: for an end, for what a list does
    not hold, when the time of the wait is up, and for the past.

    :param interval: seconds between two looks that the wait asks for.
    :param desk: where it joins while it is entered.
    :param published: see :meth:`WorkloadReader.published`.
    """

    __slots__ = (
        "_desk",
        "_error",
        "_has_news",
        "_in_doubt",
        "_listed",
        "_published",
        "_reading",
        "_signal",
        "confirmed",
        "interval",
        "is_absent",
        "looked",
    )

    def __init__(
        self,
        start: Workload,
        interval: float,
        desk: Desk,
        published: Callable[[], Flow[tuple[Moment, ...]]] | None = None,
    ) -> None:
        super().__init__(start)
        self.interval = interval
        self._desk = desk
        # The numbers of the looks that saw it last, and that last read it by itself.
        self.looked = self.confirmed = 0
        self._published = published
        self._signal = Signal()
        self._reading: Workload | None = None
        self._listed = 0
        self._error: RunaiError | None = None
        self._has_news = self._in_doubt = self.is_absent = False

    def __enter__(self) -> Watched:
        self._desk.join(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._desk.leave(self)

    @property
    def id(self) -> str:
        """The workload's id."""
        return self.start.id

    def following(self, last: Workload, seconds: float, pace: Sleep) -> Flow[Workload]:
        """Sleep until there is news, or for so many seconds; ``pace`` is the watcher's matter."""
        if not self._has_news:
            self._signal = Signal()
            yield Wait(self._signal, seconds)
        self._has_news, is_news = False, self._has_news
        if self._error is not None:
            # Many raise the same one, again and again: it must not collect their tracebacks.
            raise self._error.with_traceback(None)
        reading = self._reading
        if reading is None or self._in_doubt or not (is_news or _differ(reading, last)):
            return (yield from self.confirm(ENDED))
        return reading

    def confirm(self, rank: int) -> Flow[Workload]:
        """Read the workload by itself; raises what :func:`control_plane.get` raises."""
        self._in_doubt = False
        try:
            self._reading = yield from control_plane.get(self.id, rank)
        except NotFound:
            self.is_absent = True
            raise
        self.is_absent = False
        return self._reading

    def look(self, rank: int) -> Flow[Workload]:
        """Let the watcher read the workload by itself; raises what ``control_plane.get`` raises."""
        reading = yield from control_plane.get(self.id, rank)
        self._in_doubt = False
        self.show(reading)
        return reading

    def history(self, workload_id: str) -> Flow[tuple[Moment, ...]]:
        """Return the recorded phases; those of an ended workload come before all others."""
        is_over = self._reading is not None and self._reading.meaning in OVER
        return control_plane.history(workload_id, ENDED if is_over else HISTORY)

    def published(self) -> Flow[tuple[Moment, ...]]:
        """Return what Airflow shows already."""
        return (yield from self._published()) if self._published else ()

    def see(self, row: Row) -> bool:
        """Take note of a row of a list; return whether it is news."""
        listed = hash((str(row.phase), str(row.phaseUpdatedAt)))
        if listed == self._listed and not (self._error or self.is_absent):
            return False
        from airflow_runai.backends.rows import workload_of

        try:
            found = _sharing(workload_of(row), self.start)
        except Unreadable:
            return self.doubt()
        if found.meaning in OVER:
            return self.doubt()  # a list alone ends no wait
        self._listed = listed
        if self._reading and _is_older(found, self._reading):
            found = self._reading  # the list lags behind a single read
        return self.show(found)

    def show(self, reading: Workload) -> bool:
        """Take note of a reading; return whether it is news."""
        is_known = self._reading is not None and not _differ(reading, self._reading)
        if is_known and not (self._error or self.is_absent):
            return False
        self._reading, self._error, self.is_absent = reading, None, False
        return self._tell()

    def recover(self) -> bool:
        """Take note that there are answers, and the last reading holds; tell whether it is news."""
        was_blind, self._error = self._error is not None, None
        return self._tell() if was_blind and self._reading else False

    def fail(self, error: RunaiError) -> bool:
        """Take note that there is no answer; return whether that is news."""
        is_known = type(error) is type(self._error)
        self._error = error
        return False if is_known else self._tell()

    def doubt(self) -> bool:
        """Let the wait read its workload by itself."""
        self._in_doubt, self._error = True, None
        return self._tell()

    def _tell(self) -> bool:
        self._has_news = True
        self._signal.set()
        return True


def _sharing(new: Workload, old: Workload) -> Workload:
    """Return ``new`` with the texts of ``old`` where they are equal, so that there is one copy."""
    equal = (name for name in _IDENTITY if getattr(new, name) == getattr(old, name))
    return replace(new, **{name: getattr(old, name) for name in equal})


def _differ(one: Workload, other: Workload) -> bool:
    return _state(one) != _state(other)


def _state(workload: Workload) -> tuple[str, float | None, bool]:
    return workload.phase, workload.phase_updated_at, workload.deleted


def _is_older(one: Workload, other: Workload) -> bool:
    if one.phase_updated_at is None or other.phase_updated_at is None:
        return False
    return one.phase_updated_at < other.phase_updated_at

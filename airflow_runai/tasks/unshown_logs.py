"""What was read of the log of one workload, and waits to be shown."""

from __future__ import annotations

from typing import Protocol

from airflow_runai.core.log_lines import LogPosition
from airflow_runai.core.log_reader import UnmaskedPart
from airflow_runai.hooks.sessions import one_per_loop
from airflow_runai.tasks.log_fetches import LogFetches
from airflow_runai.tasks.log_looks import LogLook


class LogShower(Protocol):
    """Shows what was read."""

    async def show_found(self, look: LogLook, found: UnmaskedPart) -> None:
        """Show what a look has found; never raises."""

    def forget_news(self) -> None:
        """Take note that nothing more can be shown."""


class UnshownLogs:
    """
    Parts of a log, each of which is shown after those before it, and when its look is told.

    What is read in a storm waits for the history, which tells whose it is.
    """

    __slots__ = ("_parts", "_shower")

    def __init__(self, shower: LogShower) -> None:
        self._shower = shower
        self._parts: tuple[tuple[LogLook, UnmaskedPart], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, look: LogLook, found: UnmaskedPart) -> None:
        """Take what a look has found."""
        one_per_loop(LogFetches).hold(found.characters)
        self._parts = (*self._parts, (look, found))
        if len(self._parts) == 1:
            self._begin()

    def tell(self, look: LogLook) -> None:
        """Take note that a look is told."""
        look.is_told = True
        if self._parts and self._parts[0][0] is look:
            self._begin()

    def place(self, number: int) -> LogPosition | None:
        """Return how far the log of the newest part was read, if it is of that incarnation."""
        if not self._parts:
            return None
        look, found = self._parts[-1]
        return found.part.place if look.number == number else LogPosition()

    def _begin(self) -> None:
        if self._parts[0][0].is_told:
            one_per_loop(LogFetches).show(self._show_all)

    async def _show_all(self) -> None:
        while self._parts and self._parts[0][0].is_told:
            look, found = self._parts[0]
            try:
                await self._shower.show_found(look, found)
            finally:
                self._parts = self._parts[1:]
                one_per_loop(LogFetches).hold(-found.characters)
        self._shower.forget_news()

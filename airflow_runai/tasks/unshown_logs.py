"""What was read of the log of one workload, and waits to be shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from airflow_runai.core.log_lines import LogPosition
from airflow_runai.core.log_reader import UnmaskedPart
from airflow_runai.hooks.sessions import one_per_loop
from airflow_runai.tasks.log_fetches import LogFetches
from airflow_runai.tasks.log_looks import LogLook

#: Shows what a look has found; never raises.
ShowPart: TypeAlias = Callable[[LogLook, UnmaskedPart], Awaitable[None]]


class UnshownLogs:
    """
    Parts of a log, each of which is shown after those before it, and when its look is told.

    What is read in a storm waits for the history, which tells whose it is.

    :param at_rest: called when nothing more can be shown.
    """

    __slots__ = ("_at_rest", "_parts", "_show")

    def __init__(self, show: ShowPart, at_rest: Callable[[], None]) -> None:
        self._show, self._at_rest = show, at_rest
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
                await self._show(look, found)
            finally:
                self._parts = self._parts[1:]
                one_per_loop(LogFetches).hold(-found.characters)
        self._at_rest()

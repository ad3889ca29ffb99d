"""Listens to what one incarnation says, and hands it over a moment later, many lines at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from airflow_runai.backends.log_parts import END_LINES, found_part
from airflow_runai.core.log_cursor import LogLine
from airflow_runai.core.log_lines import LogPosition, growth
from airflow_runai.core.log_reader import UnmaskedPart
from airflow_runai.hooks.sessions import one_per_loop
from airflow_runai.tasks.log_fetches import LogFetches
from airflow_runai.tasks.log_looks import LogLook
from airflow_runai.tasks.log_source import LogSource

#: Seconds for which lines are gathered before they are shown.
GATHERED = 0.5

TakeLines: TypeAlias = "Callable[[LogListener, HeardLines], None]"
AtEnd: TypeAlias = "Callable[[LogListener, Exception | None], None]"


class HeardLines(NamedTuple):
    """
    Lines that a stream has brought.

    :param before: the end of the log before them.
    """

    lines: Sequence[LogLine]
    before: Sequence[str]

    def after(self, moment: float, seen: LogPosition) -> UnmaskedPart:
        """
        Return them as if a look had found them.

        :param seen: how far the log was seen before them.
        """
        found = growth(seen, [line.stamped for line in self.lines], is_whole=False)
        found = replace(found, has_gap=any(line.has_gap for line in self.lines))
        return found_part(moment, moment, [*self.before, *self._texts], found)

    def end(self) -> tuple[str, ...]:
        """Return the end of the log after them."""
        return (*self.before, *self._texts)[-END_LINES:]

    @property
    def _texts(self) -> tuple[str, ...]:
        return tuple(line.text for line in self.lines)


class LogListener:
    """
    One open stream.

    :param look: that has read what was there before; a later one at the same pod may follow it.
    :param before: the end of what it has read.
    :param take: takes what was heard.
    :param at_end: called when the stream has ended, unless it was stopped, and with its error.
    """

    __slots__ = ("_at_end", "_before", "_lines", "_source", "_take", "_task", "_timer", "look")

    def __init__(
        self,
        source: LogSource,
        look: LogLook,
        before: Sequence[str],
        take: TakeLines,
        at_end: AtEnd,
    ) -> None:
        self.look = look
        self._source, self._take, self._at_end = source, take, at_end
        self._before = tuple(before[-END_LINES:])
        self._lines: list[LogLine] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> bool:
        """Listen until the pod has ended, or :meth:`stop`; return whether there is room."""
        fetches = one_per_loop(LogFetches)
        self._task = fetches.listen(self._run, is_last=self.look.is_last)
        return self._task is not None

    async def _run(self) -> None:
        error: Exception | None = None
        try:
            await self._source.listen(self.look, self._hear)
        except Exception as trouble:  # logs are never a reason to fail
            error = trouble
        finally:
            self.hand_over()
        self._at_end(self, error)

    def stop(self, seconds: float = 0.0) -> None:
        """Listen no longer than so many seconds."""
        if self._task is not None:
            asyncio.get_running_loop().call_later(seconds, self._task.cancel)

    def follow(self, look: LogLook) -> bool:
        """
        Go on for a later look; stop and return ``False`` if it has something else to read.

        At another incarnation, or when a gang leaves: what a member that failed has said.
        """
        self.hand_over()
        is_members = look.is_last and look is not self.look and self._source.is_of_gang
        if look.number != self.look.number or is_members:
            self.stop()
            return False
        self.look = look
        return True

    def hand_over(self) -> None:
        """Hand over what was heard."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, lines, self._lines = None, self._lines, []
        if lines:
            heard = HeardLines(lines, self._before)
            self._before = heard.end()
            self._take(self, heard)

    def _hear(self, line: LogLine) -> None:
        self._lines.append(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHERED, self.hand_over)

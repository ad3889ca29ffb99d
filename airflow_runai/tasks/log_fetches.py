"""
Fetches of logs for all waits on one event loop: few at a time, and few lines a second.

Airflow's supervisor reads what a triggerer logs in the process that also serves its events, so a
storm of preemptions must not become a storm of lines.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

log = logging.getLogger(__name__)

Fetch: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

#: Fetches that are under way at the same time.
AT_ONCE = 4
#: Lines that go into task logs in a second, and how many of them at once after a silence.
LINES_A_SECOND, LINES_AT_ONCE = 50.0, 110
#: After a cluster could not be reached, nobody asks it for so many seconds.
REST = 60.0


class LogFetches:
    """Gives each fetch its turn, and each line its place."""

    def __init__(self) -> None:
        self._urgent: deque[tuple[contextvars.Context, Fetch]] = deque()
        self._others: deque[tuple[contextvars.Context, Fetch]] = deque()
        self._busy: set[asyncio.Task[None]] = set()
        self._allowance = float(LINES_AT_ONCE)
        self._counted_at = -math.inf
        self._outages: dict[str, tuple[float, str]] = {}

    def ask(self, fetch: Fetch, *, is_urgent: bool) -> None:
        """
        Carry out a fetch some time, in the context of the caller, whose task log it writes.

        :param is_urgent: before all that are not, because the log may soon be gone.
        """
        queue = self._urgent if is_urgent else self._others
        queue.append((contextvars.copy_context(), fetch))
        self._go_on()

    def _go_on(self) -> None:
        while (queue := self._urgent or self._others) and len(self._busy) < AT_ONCE:
            context, fetch = queue.popleft()
            task = context.run(asyncio.create_task, fetch())
            self._busy.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("a log could not be fetched: %s: %s", type(error).__name__, error)
        self._go_on()

    def allows(self, lines: int) -> bool:
        """Whether so many lines may be written now; if so, counts them."""
        moment = asyncio.get_running_loop().time()
        passed, self._counted_at = moment - self._counted_at, moment
        allowance = min(float(LINES_AT_ONCE), self._allowance + passed * LINES_A_SECOND)
        self._allowance = allowance - lines if lines <= allowance else allowance
        return lines <= allowance

    def outage(self, cluster_id: str) -> str:
        """Return why a cluster could not be reached a short time ago; empty if it could."""
        until, reason = self._outages.get(cluster_id, (-math.inf, ""))
        return reason if asyncio.get_running_loop().time() < until else ""

    def note_outage(self, cluster_id: str, reason: str) -> None:
        """Let nobody wait for the same time-out again."""
        self._outages[cluster_id] = (asyncio.get_running_loop().time() + REST, reason)

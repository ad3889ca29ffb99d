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
#: Streams of logs that are open at the same time; half of them at most are at what goes on to run.
LISTENERS = 32
#: Characters of all logs that were read and wait to be shown; one more log may come on top.
HELD_CHARACTERS = 16 * 2**20
#: Lines that go into task logs in a second, and how many of them at once after a silence: a look
#: shows 101 lines, and 63 of members of a gang that failed.
LINES_A_SECOND, LINES_AT_ONCE = 50.0, 180
#: After a cluster could not be reached, nobody asks it for so many seconds.
REST = 60.0


class LogFetches:
    """
    Gives each fetch its turn, and each line its place.

    A fetch has two halves: the log itself, which may soon be gone, and what it takes to show it.
    While much waits to be shown, no further log is read.
    """

    def __init__(self) -> None:
        self._reads = _Turns(lambda: self.has_room)
        self._shows = _Turns()
        self._listeners: set[asyncio.Task[None]] = set()
        self._held = 0
        self._allowance = float(LINES_AT_ONCE)
        self._counted_at = -math.inf
        self._outages: dict[str, tuple[float, str]] = {}

    def read(self, fetch: Fetch, *, is_urgent: bool) -> None:
        """
        Read a log some time, in the context of the caller, whose task log it writes.

        :param is_urgent: before all that are not, because the log may soon be gone.
        """
        self._reads.ask(fetch, is_urgent=is_urgent)

    def listen(self, fetch: Fetch, *, is_last: bool) -> asyncio.Task[None] | None:
        """
        Stay with a log until its pod has ended; ``None`` if there is no room for one more.

        :param is_last: what writes it leaves.
        """
        if len(self._listeners) >= (LISTENERS if is_last else LISTENERS // 2):
            return None
        task = asyncio.create_task(fetch())
        self._listeners.add(task)
        task.add_done_callback(self._listeners.discard)
        return task

    def show(self, fetch: Fetch) -> None:
        """Show some time what was read."""
        self._shows.ask(fetch)

    def hold(self, characters: int) -> None:
        """Count what was read and waits to be shown; a negative number when it has been."""
        self._held += characters
        self._reads.go_on()

    @property
    def has_room(self) -> bool:
        """Whether what is read now can be held until it is shown."""
        return self._held < HELD_CHARACTERS

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


class _Turns:
    """
    Carries out fetches, :data:`AT_ONCE` at a time.

    :param begins: whether another may begin now.
    """

    def __init__(self, begins: Callable[[], bool] = lambda: True) -> None:
        self._begins = begins
        self._urgent: deque[tuple[contextvars.Context, Fetch]] = deque()
        self._others: deque[tuple[contextvars.Context, Fetch]] = deque()
        self._busy: set[asyncio.Task[None]] = set()

    def ask(self, fetch: Fetch, *, is_urgent: bool = False) -> None:
        """Carry out a fetch when its turn comes, in the caller's context."""
        queue = self._urgent if is_urgent else self._others
        queue.append((contextvars.copy_context(), fetch))
        self.go_on()

    def go_on(self) -> None:
        """Begin what may begin."""
        while (queue := self._urgent or self._others) and self._has_room():
            context, fetch = queue.popleft()
            task = context.run(asyncio.create_task, fetch())
            self._busy.add(task)
            task.add_done_callback(self._end)

    def _has_room(self) -> bool:
        return len(self._busy) < AT_ONCE and self._begins()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("a log could not be fetched: %s: %s", type(error).__name__, error)
        self.go_on()

"""
An event loop on a core of its own, whatever else the machine does.

Waiting costs nothing: where a real loop would sleep, this one jumps. Working costs what it costs:
the clock counts the processor time of the loop's own thread, so a piece of work that keeps the
loop busy for 200 ms delays everything else by 200 ms here, too. What belongs to somebody else (the
server that a bench plays in the same process) is marked with :meth:`VirtualLoop.uncounted` and
takes no time.

While a thread works for the loop, the loop really waits: nobody knows how long that will take.

Tests of what is done, rather than of how fast, leave the work uncounted: there, only waits take time.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.simulation.clock import BEGIN, CLOCK, virtual_time

T = TypeVar("T")

#: Real seconds between two looks at threads that work for the loop.
_THREAD_PAUSE = 0.001


class Stuck(Exception):
    """Everybody waits for something that cannot come."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock counts its own work and jumps over waits."""

    def __init__(self, *, counts_work: bool = True) -> None:
        self._counts_work = counts_work
        self._jumps = _Jumps(self)
        self._jumped = self._foreign_work = self._foreign_total = 0.0
        self._in_threads = 0
        self._began = time.thread_time()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Seconds since the loop was made."""
        if not self._counts_work:
            return self._jumped
        return self._jumped + time.thread_time() - self._began - self._foreign_work

    def jump(self, seconds: float) -> None:
        """Let a wait pass."""
        self._jumped += seconds

    def work(self) -> float:
        """Processor seconds of this process, with all threads, without what is not counted."""
        return time.process_time() - self._foreign_total

    @property
    def waits_for_threads(self) -> bool:
        """Whether a thread works for the loop."""
        return self._in_threads > 0

    def run_in_executor(  # type: ignore[override]  # saying it exactly takes Python 3.11
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Hand work to a thread, and really wait for it."""
        self._in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_is_done)
        return future

    def _thread_is_done(self, _: object) -> None:
        self._in_threads -= 1

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """
        Do somebody else's work: it takes no time on this loop's clock.

        The garbage that it makes is not the loop's either, so no collection is due to it.
        """
        collects = gc.isenabled()
        gc.disable()
        thread, process = time.thread_time(), time.process_time()
        try:
            yield
        finally:
            self._foreign_work += time.thread_time() - thread
            self._foreign_total += time.process_time() - process
            if collects:
                gc.enable()

    def take_lag(self) -> Lag:
        """Return how late the loop has been since the last call, and begin anew."""
        lag, self._jumps.lag = self._jumps.lag, Lag()
        return lag


class _Jumps(selectors.DefaultSelector):
    """Waits for nothing, and notes how long the loop worked between two looks."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._resumed = 0.0
        self.lag = Lag()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        now = self._loop.time()
        waits = timeout is None or timeout > 0
        self.lag.add(now - self._resumed, waits)
        ready = super().select(0)
        while not ready and self._loop.waits_for_threads and waits:
            ready = super().select(_THREAD_PAUSE)
        if not ready and waits:
            if timeout is None:
                raise Stuck("nothing is due, and nobody works for the loop")
            self._loop.jump(timeout)
        self._resumed = self._loop.time()
        return ready


class Lag:
    """
    How late something is done that falls due at any moment.

    Due while the loop works, it waits for the rest of this turn, and for the whole next one if that
    follows at once. So its distribution follows from the lengths of the turns: no probe is needed,
    and no short stall can slip through between two probes.
    """

    def __init__(self) -> None:
        self._turns, self._next = array("d"), array("d")
        self._follows = False

    def add(self, seconds: float, waits: bool) -> None:
        """Note a turn, and whether the loop waits after it."""
        if self._follows:
            self._next[-1] = seconds
        self._turns.append(seconds)
        self._next.append(0.0)
        self._follows = not waits

    @property
    def max(self) -> float:
        """Seconds that the unluckiest moment waits."""
        return max((a + b for a, b in zip(self._turns, self._next, strict=True)), default=0.0)

    def exceeded_by(self, share: float, seconds: float) -> float:
        """
        Seconds of delay that only this share of all moments exceeds.

        :param seconds: the length of the time that was measured.
        """
        low, high = 0.0, self.max
        for _ in range(40):
            middle = (low + high) / 2
            if self._time_beyond(middle) > share * seconds:
                low = middle
            else:
                high = middle
        return high

    def _time_beyond(self, delay: float) -> float:
        pairs = zip(self._turns, self._next, strict=True)
        return sum(min(max(turn + after - delay, 0.0), turn) for turn, after in pairs)


class _Clock:
    """The loop's clock as ``time`` shows it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return BEGIN + self._loop.time()

    def elapsed(self) -> float:
        return self._loop.time()

    def sleep(self, seconds: float) -> None:
        """Block the loop, as it would in earnest."""
        self._loop.jump(seconds)


def run(work: Callable[[VirtualLoop], Any], *, counts_work: bool = True) -> Any:
    """Run what ``work`` returns on a loop of its own, with ``time`` showing the loop's clock."""
    loop = VirtualLoop(counts_work=counts_work)
    asyncio.set_event_loop(loop)
    shown = CLOCK.set(_Clock(loop))
    try:
        with virtual_time():
            return loop.run_until_complete(work(loop))
    finally:
        CLOCK.reset(shown)
        asyncio.set_event_loop(None)
        loop.close()

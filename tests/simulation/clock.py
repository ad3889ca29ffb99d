"""
Virtual time: an event loop that never waits, and a ``time`` module that asks the simulated process for its clock.

Only code that runs inside a simulated process sees the virtual clock; everybody else (pytest, other
threads) keeps the real one.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from functools import partial
from typing import Any, Protocol

#: 2026-01-01T00:00:00Z: where each simulation begins.
BEGIN = 1_767_225_600.0


class HasClock(Protocol):
    """What keeps time for the code that runs in it."""

    def now(self) -> float:
        """Tell epoch seconds, right or wrong."""

    def elapsed(self) -> float:
        """Tell seconds that only rise."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


#: Whose code is running; ``None`` outside of a simulated process.
CLOCK: ContextVar[HasClock | None] = ContextVar("simulated clock", default=None)


class Stuck(Exception):
    """Nobody will ever wake up again."""


class _Waitless(selectors.SelectSelector):
    """Lets the time that the loop would wait pass at once."""

    moment = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("every simulated process waits for something that cannot come")
        self.moment += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when everybody waits."""

    def __init__(self) -> None:
        self._waitless = _Waitless()
        super().__init__(self._waitless)

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._waitless.moment

    def run_in_executor(  # type: ignore[override]  # as much of the signature as is used
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run blocking code as a thread would, in virtual time; one that brings its own thread has it."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        # Imported here: processes are made of this clock.
        from tests.simulation.process import in_greenlet

        return self.create_task(in_greenlet(partial(func, *args)))

    def after(self, seconds: float, work: Callable[[], object]) -> asyncio.TimerHandle:
        """Do something later, in the name of no process."""
        return self.call_later(seconds, work, context=Context())


@contextmanager
def virtual_time() -> Iterator[None]:
    """Let ``time.time``, ``time.monotonic`` and ``time.sleep`` obey the clock of the process that calls them."""
    real = (time.time, time.monotonic, time.sleep)
    named = ("time", "monotonic", "sleep")
    now, elapsed = (
        _asks(lambda clock: clock.now(), real[0]),
        _asks(lambda clock: clock.elapsed(), real[1]),
    )
    fakes = (now, elapsed, _sleeper(real[2]))
    for name, fake in zip(named, fakes, strict=True):
        setattr(time, name, fake)
    try:
        yield
    finally:
        for name, was in zip(named, real, strict=True):
            setattr(time, name, was)


def _asks(tell: Callable[[HasClock], float], real: Callable[[], float]) -> Callable[[], float]:
    def fake() -> float:
        clock = _clock()
        return real() if clock is None else tell(clock)

    return fake


def _clock() -> HasClock | None:
    """Return the clock of the process that calls; a thread of it, whose loop is real, has none."""
    return CLOCK.get() if threading.current_thread() is threading.main_thread() else None


def _sleeper(real: Callable[[float], None]) -> Callable[[float], None]:
    def fake(seconds: float) -> None:
        clock = _clock()
        if clock is None:
            real(seconds)
        else:
            clock.sleep(seconds)

    return fake

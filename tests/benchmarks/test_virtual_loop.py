"""The loop that measures waiting: waits pass at once, work takes what it takes."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.benchmarks import virtual_loop
from tests.benchmarks.virtual_loop import Lag, Stuck, VirtualLoop


def work(seconds: float) -> None:
    """Keep this thread busy."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_an_hour_passes_at_once_and_time_shows_it() -> None:
    async def wait(loop: VirtualLoop) -> tuple[float, float]:
        begin = time.time()
        await asyncio.sleep(3600)
        return time.time() - begin, loop.time()

    real = time.monotonic()
    shown, passed = virtual_loop.run(wait)
    assert 3600 <= shown < 3601
    assert 3600 <= passed < 3601
    assert time.monotonic() - real < 600


def test_work_delays_what_is_due_by_the_processor_time_that_it_takes() -> None:
    async def wait(loop: VirtualLoop) -> float:
        due = loop.time() + 0.01
        late: list[float] = []
        loop.call_at(due, lambda: late.append(loop.time() - due))
        work(0.05)
        await asyncio.sleep(1)
        return late[0]

    assert 0.035 < virtual_loop.run(wait) < 0.2


def test_work_of_somebody_else_takes_no_time() -> None:
    async def wait(loop: VirtualLoop) -> tuple[float, float]:
        moment, own = loop.time(), loop.work()
        with loop.uncounted():
            work(0.05)
        return loop.time() - moment, loop.work() - own

    passed, own = virtual_loop.run(wait)
    assert passed < 0.02
    assert own < 0.02


def test_the_loop_really_waits_for_a_thread() -> None:
    async def wait(loop: VirtualLoop) -> float:
        begin = loop.time()
        await asyncio.wait_for(asyncio.to_thread(work, 0.02), 3600)
        return loop.time() - begin

    assert virtual_loop.run(wait) < 60


def test_a_wait_that_cannot_end_is_an_error() -> None:
    async def wait(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(Stuck, match="nothing is due"):
        virtual_loop.run(wait)


def test_lag_follows_from_the_lengths_of_the_turns() -> None:
    """In 100 s: one turn of 1 s, then two of 0.5 s that follow each other at once."""
    lag = Lag()
    lag.add(1.0, waits=True)
    lag.add(0.5, waits=False)
    lag.add(0.5, waits=True)
    assert lag.max == pytest.approx(1.0)
    # Beyond 0.5 s: half of the first turn, the second one as a whole, nothing of the third.
    assert lag.exceeded_by(0.01, 100.0) == pytest.approx(0.5)
    assert lag.exceeded_by(0.5, 100.0) == pytest.approx(0.0, abs=1e-9)


def test_a_stall_between_two_waits_is_measured_as_it_is() -> None:
    async def stall(loop: VirtualLoop) -> float:
        await asyncio.sleep(1)
        loop.take_lag()
        work(0.05)
        await asyncio.sleep(1)
        return loop.take_lag().max

    assert 0.045 < virtual_loop.run(stall) < 0.2

"""One flow works while others wait: in threads with the blocking driver, or on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from airflow_runai.backends import drivers
from airflow_runai.core.flow import Flow, Lock, Notice, Signal, Wait
from tests.support.patience import PATIENCE
from tests.support.waiting import wait_until

OTHERS = 5


class Worker:
    """Does one piece of work at a time, and counts the flows that have begun."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.worked: list[str] = []
        self.begun = 0

    def flow(self, name: str, end: Exception | None = None) -> Flow[str]:
        self.begun += 1
        return (yield from self.lock.hold(self._work(name, end)))

    def _work(self, name: str, end: Exception | None) -> Flow[str]:
        yield Notice("working", name)
        if end:
            raise end
        self.worked.append(name)
        return name


def in_threads(worker: Worker, end: Exception | None) -> list[str]:
    """Let the first flow stand still until the others wait; return what came of the others."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(notice: Notice) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    with httpx.Client() as client, ThreadPoolExecutor(OTHERS + 1) as pool:
        first = pool.submit(drivers.run, worker.flow("first", end), client, hold)
        assert begun.wait(PATIENCE)
        others = [
            pool.submit(drivers.run, worker.flow(f"other-{n}"), client) for n in range(OTHERS)
        ]
        wait_until(lambda: worker.begun == OTHERS + 1)
        go_on.set()
        assert first.exception(PATIENCE) is end
        return [other.result(PATIENCE) for other in others]


def on_a_loop(worker: Worker, end: Exception | None, *, cancel: bool = False) -> list[str]:
    """Do the same on an event loop."""

    async def main() -> list[str]:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def hold(notice: Notice) -> None:
            begun.set()
            await go_on.wait()

        async with httpx.AsyncClient() as client:
            first = asyncio.create_task(drivers.arun(worker.flow("first", end), client, hold))
            await begun.wait()
            others = [
                asyncio.create_task(drivers.arun(worker.flow(f"other-{n}"), client))
                for n in range(OTHERS)
            ]
            await asyncio.sleep(0)  # all that was created before has had its first turn
            assert worker.begun == OTHERS + 1
            first.cancel() if cancel else go_on.set()
            (came,) = await asyncio.gather(first, return_exceptions=True)
            if cancel or end:
                assert type(came) is (asyncio.CancelledError if cancel else type(end))
            return list(await asyncio.wait_for(asyncio.gather(*others), PATIENCE))

    return asyncio.run(main())


both = pytest.mark.parametrize("play", [in_threads, on_a_loop])
Play = Callable[[Worker, Exception | None], list[str]]


@both
def test_others_wait_until_the_first_has_done_its_work(play: Play) -> None:
    worker = Worker()
    others = play(worker, None)
    assert worker.worked[0] == "first"
    assert sorted(worker.worked[1:]) == sorted(others) == [f"other-{n}" for n in range(OTHERS)]


@both
def test_a_flow_that_fails_wakes_the_others(play: Play) -> None:
    worker = Worker()
    assert sorted(play(worker, ValueError("a bug"))) == [f"other-{n}" for n in range(OTHERS)]
    assert "first" not in worker.worked


def test_a_flow_that_is_cancelled_wakes_the_others() -> None:
    worker = Worker()
    assert len(on_a_loop(worker, None, cancel=True)) == OTHERS
    assert "first" not in worker.worked


def test_the_loop_sleeps_without_a_timer_while_flows_wait() -> None:
    signal = Signal()

    class Idle(selectors.SelectSelector):
        """Sets the signal as soon as the loop has nothing to do, and nothing planned."""

        def select(self, timeout: float | None = None) -> list[Any]:
            if timeout is None:
                signal.set()
            assert not timeout, f"the loop is to wake up by itself in {timeout} s"
            return super().select(0)

    def waiting() -> Flow[str]:
        yield Wait(signal)
        return "woken"

    async def main() -> list[str]:
        async with httpx.AsyncClient() as client:
            return await asyncio.gather(*(drivers.arun(waiting(), client) for _ in range(100)))

    with contextlib.closing(asyncio.SelectorEventLoop(Idle())) as loop:
        assert loop.run_until_complete(main()) == ["woken"] * 100


def test_cancelled_while_it_waits_a_flow_is_closed_and_listens_no_more() -> None:
    signal, closed = Signal(), list[str]()

    def waiting() -> Flow[None]:
        try:
            yield Wait(signal)
        finally:
            closed.append("closed")

    async def main() -> None:
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(drivers.arun(waiting(), client))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert closed == ["closed"]
    signal.set()  # the loop is closed: a listener that was left behind would raise here


def test_a_signal_from_another_thread_wakes_the_loop() -> None:
    signal = Signal()

    def waiting() -> Flow[str]:
        yield Wait(signal)
        return "woken"

    async def main() -> str:
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(drivers.arun(waiting(), client))
            await asyncio.sleep(0)
            await asyncio.to_thread(signal.set)
            return await asyncio.wait_for(task, PATIENCE)

    assert asyncio.run(main()) == "woken"


@pytest.mark.parametrize("run", ["blocking", "awaiting"])
def test_a_signal_that_is_set_already_holds_nobody_up(run: str) -> None:
    signal = Signal()
    signal.set()

    def late() -> Flow[str]:
        yield Wait(signal)
        return "went on"

    if run == "blocking":
        with httpx.Client() as client:
            assert drivers.run(late(), client) == "went on"
        return

    async def main() -> str:
        async with httpx.AsyncClient() as client:
            return await drivers.arun(late(), client)

    assert asyncio.run(main()) == "went on"

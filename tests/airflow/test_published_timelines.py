"""Timelines in XCom: written in the background, rarely, the newest one; read one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from airflow.sdk.execution_time.comms import GetXCom, SetXCom, XComResult

from airflow_runai.backends import drivers
from airflow_runai.tasks.published_timelines import (
    IDLE_PACE,
    REPEAT,
    PublishedTimelines,
    TaskAddress,
)
from tests.benchmarks.virtual_loop import VirtualLoop, run

TASKS = [TaskAddress("dag", f"task-{number}", "run", -1) for number in range(200)]


class Slow:
    """Airflow's supervisor, which takes its time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.asked: list[tuple[float, Any]] = []
        self.answer: Any = None

    async def asend(self, message: Any) -> Any:
        self.asked.append((self.loop.time(), message))
        await asyncio.sleep(0.02)
        if isinstance(self.answer, Exception):
            raise self.answer
        return (
            XComResult(key="runai_timeline", value=self.answer)
            if isinstance(message, GetXCom)
            else None
        )

    def written(self, task: TaskAddress) -> list[int]:
        sent = (m for _, m in self.asked if isinstance(m, SetXCom) and m.task_id == task.task_id)
        values: list[Any] = [message.value for message in sent]
        return [value["number"] for value in values]


def play(work: Any, monkeypatch: pytest.MonkeyPatch) -> Slow:
    from airflow.sdk.execution_time import task_runner

    async def with_supervisor(loop: VirtualLoop) -> Slow:
        supervisor = Slow(loop)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        await work(PublishedTimelines(), supervisor)
        return supervisor

    found: Slow = run(with_supervisor, counts_work=False)
    return found


def test_a_storm_is_written_a_few_a_second_and_the_newest_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def storm(timelines: PublishedTimelines, _: Slow) -> None:
        for number in range(4):
            for task in TASKS:
                timelines.publish(task, {"number": number})
            await asyncio.sleep(10)
        await asyncio.sleep(100)

    supervisor = play(storm, monkeypatch)
    assert all(supervisor.written(task)[-1] == 3 for task in TASKS)
    assert len(supervisor.asked) <= 2 * len(TASKS)
    times = [at for at, _ in supervisor.asked]
    assert all(sum(second <= at < second + 1 for at in times) <= 5 for second in range(150))


def test_one_task_is_written_at_once_and_then_not_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def changes(timelines: PublishedTimelines, supervisor: Slow) -> None:
        for number in range(3):
            timelines.publish(TASKS[0], {"number": number})
            await asyncio.sleep(1)
        assert supervisor.written(TASKS[0]) == [0]
        await asyncio.sleep(REPEAT)

    assert play(changes, monkeypatch).written(TASKS[0]) == [0, 2]


def test_what_was_not_written_when_its_wait_ended_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ends(timelines: PublishedTimelines, _: Slow) -> None:
        timelines.publish(TASKS[0], {"number": 0})
        timelines.forget(TASKS[0])
        timelines.publish(TASKS[1], {"number": 1})
        await asyncio.sleep(60)

    supervisor = play(ends, monkeypatch)
    assert (supervisor.written(TASKS[0]), supervisor.written(TASKS[1])) == ([], [1])


def test_what_nobody_waits_for_is_written_seldom_and_delays_no_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idle, urgent = TASKS[:100], TASKS[100:110]

    async def follows(timelines: PublishedTimelines, supervisor: Slow) -> None:
        for task in idle:
            timelines.publish(task, {"number": 0}, is_urgent=False)
        await asyncio.sleep(60)
        assert len(supervisor.asked) <= 60 / IDLE_PACE + 1
        for task in urgent:
            timelines.publish(task, {"number": 1})
        await asyncio.sleep(5)
        assert all(supervisor.written(task) == [1] for task in urgent)
        await asyncio.sleep(300)

    supervisor = play(follows, monkeypatch)
    assert all(supervisor.written(task) == [0] for task in idle)


def test_news_take_the_place_of_what_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def changes(timelines: PublishedTimelines, _: Slow) -> None:
        timelines.publish(TASKS[0], {"number": 0})
        await asyncio.sleep(1)
        timelines.publish(TASKS[0], {"number": 1}, is_urgent=False)
        timelines.publish(TASKS[0], {"number": 2})
        timelines.publish(TASKS[0], {"number": 3}, is_urgent=False)
        timelines.publish(TASKS[1], {"number": 4}, is_urgent=False)
        timelines.forget(TASKS[1])
        await asyncio.sleep(100)

    supervisor = play(changes, monkeypatch)
    assert (supervisor.written(TASKS[0]), supervisor.written(TASKS[1])) == ([0, 3], [])


def test_an_airflow_that_fails_is_survived(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(timelines: PublishedTimelines, supervisor: Slow) -> None:
        supervisor.answer = RuntimeError("no API server")
        timelines.publish(TASKS[0], {"number": 0})
        await asyncio.sleep(10)
        supervisor.answer = None
        timelines.publish(TASKS[1], {"number": 1})
        await asyncio.sleep(10)

    supervisor = play(fails, monkeypatch)
    assert supervisor.written(TASKS[1]) == [1]
    assert "task-0 could not be published: no API server" in caplog.text


def test_what_airflow_shows_is_read_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"timeline": [{"at": 5.0, "phase": "Running", "message": ""}]}

    async def read(timelines: PublishedTimelines, supervisor: Slow) -> None:
        supervisor.answer = shown
        async with httpx.AsyncClient(verify=False) as client:
            found = await asyncio.gather(
                *(drivers.arun(timelines.fetch(task), client) for task in TASKS[:20])
            )
        assert all([moment.phase for moment in one] == ["Running"] for one in found)

    times = [at for at, _ in play(read, monkeypatch).asked]
    assert times[-1] - times[0] >= 19 * 0.2


def test_what_cannot_be_shown_ends_no_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def publish(timelines: PublishedTimelines, _: Slow) -> None:
        timelines.publish(TASKS[0], {"phase": "\ud800"})

    assert play(publish, monkeypatch).asked == []
    assert "could not be published" in caplog.text

"""A workload that waits long is asked about once for each stretch, in turn, and at no cost to the wait."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.core.flow import Notice
from airflow_runai.core.phases import Meaning
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator, serve
from airflow_runai.hooks.sessions import one_per_loop
from airflow_runai.tasks.companions import Companion
from airflow_runai.tasks.long_waits import PACE, PATIENCE, LongWait, Turns
from airflow_runai.tasks.published_timelines import published_timelines
from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.airflow.conftest import fast
from tests.airflow.running import Person
from tests.airflow.triggering import Supervised, first, supervised, trigger, with_task
from tests.benchmarks import virtual_loop
from tests.support.waiting import eventually

__all__ = ["supervised"]
PATIENCE_QUEUED = PATIENCE[Meaning.WAITING]
SOON = {Meaning.WAITING: 0.01, Meaning.STARTING: 0.01}
SENTENCE = "it can never start: asks for 6 GPUs; the cluster has 4; ask for fewer GPUs"


class Listener:
    """Takes what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.news: list[Mapping[str, Any]] = []

    def __call__(self, lines: Sequence[str], news: Mapping[str, Any]) -> None:
        self.lines += lines
        self.news.append(news)


def news(phase: str, at: float = 0.0, message: str = "", kind: str = "timeline") -> Notice:
    return Notice(kind, "", {"timeline": [{"at": at, "phase": phase, "message": message}]})


@pytest.fixture
def crowded(shared: Path, connect: Callable[..., None]) -> Any:
    with serve(fast(shared)) as emulator:
        connect(emulator.url)
        yield emulator


def hopeless(emulator: Emulator, slug: str = "hopeless") -> dict[str, Any]:
    return Person(emulator).submit("team-a", slug, gpus=6).to_json()


def asked(emulator: Emulator) -> int:
    return sum(request.path.endswith("/events") for request in emulator.requests)


def test_a_long_stretch_is_explained_once(crowded: Emulator) -> None:
    workload, heard = hopeless(crowded), Listener()

    async def play() -> None:
        waiting = LongWait("runai_default", Workload.from_json(workload), heard, SOON)
        waiting.hear(news("Pending"))
        await eventually(lambda: bool(heard.lines))
        waiting.hear(news("Pending", message="2 GPUs are free"))  # the same stretch, in other words
        waiting.hear(Notice("trouble", "an outage"))
        assert waiting._timer is None

    asyncio.run(play())
    assert heard.lines == [f"{workload['name']}: {SENTENCE}"]
    assert [one["reasons"] for one in heard.news] == [[SENTENCE], [SENTENCE]]
    assert [one["timeline"][0]["message"] for one in heard.news] == ["", "2 GPUs are free"]
    assert asked(crowded) == 1


def test_neither_a_short_stretch_nor_one_that_runs_costs_a_request(crowded: Emulator) -> None:
    workload, heard = hopeless(crowded), Listener()

    async def play() -> None:
        waiting = LongWait("runai_default", Workload.from_json(workload), heard)
        for at, phase in enumerate(("Creating", "Pending", "Initializing", "Running")):
            waiting.hear(news(phase, at))
            assert (waiting._timer is None) == (phase == "Running")
        waiting.hear(news("Pending", 9))
        waiting.close()
        nameless = Workload.from_json({**workload, "id": ""})
        LongWait("runai_default", nameless, heard, SOON).hear(news("Pending"))

    asyncio.run(play())
    assert (heard.lines, asked(crowded)) == ([], 0)


@pytest.mark.parametrize(("waited", "is_asked"), [(100.0, True), (500.0, True), (700.0, False)])
def test_a_stretch_that_an_earlier_triggerer_has_seen_is_explained_in_time(
    crowded: Emulator, waited: float, is_asked: bool
) -> None:
    workload, heard = hopeless(crowded), Listener()

    async def play() -> None:
        waiting = LongWait("runai_default", Workload.from_json(workload), heard)
        waiting.hear(news("Pending", time.time() - waited, kind="sighting"))
        timer, now = waiting._timer, asyncio.get_running_loop().time()
        assert (timer is not None) is is_asked
        if timer is not None:
            assert timer.when() - now == pytest.approx(max(0.0, PATIENCE_QUEUED - waited), abs=30)
        waiting.close()

    asyncio.run(play())


def test_a_crowd_is_asked_about_one_by_one() -> None:
    async def delays(_: object) -> list[float]:
        return [one_per_loop(Turns).next_in() for _ in range(4)]

    assert virtual_loop.run(delays, counts_work=False) == [0.0, PACE, 2 * PACE, 3 * PACE]


def test_an_outage_says_nothing_and_ends_nothing(
    connect: Callable[..., None], crowded: Emulator
) -> None:
    workload, heard = hopeless(crowded), Listener()
    connect("http://127.0.0.1:9")

    async def play() -> None:
        waiting = LongWait("runai_default", Workload.from_json(workload), heard, SOON)
        waiting.hear(news("Pending"))
        await eventually(lambda: waiting._asking is not None and waiting._asking.done())

    asyncio.run(play())
    assert heard.lines == []


class Hasty(RunaiWorkloadTrigger):
    """Asks soon."""

    def _companions(self) -> list[Companion]:
        return [
            LongWait("runai_default", Workload.from_json(self.workload), self._tell_reasons, SOON)
        ]


@pytest.mark.slow
def test_the_trigger_shows_the_reasons_with_its_timeline(
    crowded: Emulator, supervised: Supervised, capfd: pytest.CaptureFixture[str]
) -> None:
    supervised("deferred")
    given = trigger(crowded, "long-t").serialize()[1]
    made = with_task(Hasty(**{**given, "workload": hopeless(crowded)}))

    async def play() -> None:
        waiting = asyncio.create_task(first(made))
        pending = published_timelines()._pending  # written later: a task's turn comes each 30 s
        await eventually(lambda: any(b"reasons" in n for n in pending.values()) or waiting.done())
        assert [json.loads(one)["reasons"] for one in pending.values()] == [[SENTENCE]]
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not pending, "nothing older may follow what the task writes at the end"

    asyncio.run(play())
    assert f"{made.workload['name']}: {SENTENCE}" in capfd.readouterr().out

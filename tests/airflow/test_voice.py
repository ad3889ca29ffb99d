"""People are told once for a storm, in time for a long queue, and never at the cost of a wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback

from airflow_runai.core.flow import Notice
from airflow_runai.core.outcome import Outcome, news
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.tasks.callbacks import callbacks_of
from airflow_runai.tasks.companions import Company
from airflow_runai.tasks.voice import companions_of, voice_settings
from tests.airflow import heard
from tests.benchmarks import virtual_loop

pytestmark = pytest.mark.usefixtures("nothing_heard")

TI = SimpleNamespace(dag_id="dag", task_id="task", run_id="run", map_index=3, try_number=2)


class Life:
    """A workload whose wait tells its companions each change."""

    def __init__(self, **callbacks: Any) -> None:
        workload = {"project": "team-a", "url": "http://here/w"}
        voice = voice_settings(callbacks_of(callbacks), workload, TI)
        self.company = Company(companions_of(voice, "train-g1"))
        self.moments: list[Moment] = []

    def enters(self, phase: str, message: str = "") -> None:
        self.moments.append(Moment(time.time(), phase, message))
        self.company.hear(Notice("timeline", "", self._news()))

    def is_sighted(self) -> None:
        self.company.hear(Notice("sighting", "", self._news()))

    def ends(self, status: str, reason: str) -> None:
        outcome = Outcome(status, "w", "train-g1", self.moments[-1].phase, reason, time.time())
        told = {**outcome.to_news(), **self._news(), "status": status, "reason": reason}
        self.company.hear(Notice("end", "", told))
        self.company.close()

    def _news(self) -> dict[str, Any]:
        seen = clocks(self.moments, time.time())
        return news(tuple(self.moments), seen, self.moments[-1].phase)


def lived(live: Callable[[], Any]) -> None:
    """Let an hour of a life pass at once, on a loop whose clock is not the wall's."""

    async def play() -> None:
        await live()
        await asyncio.sleep(120)

    virtual_loop.run(lambda loop: play(), counts_work=False)


def test_twenty_preemptions_in_a_minute_are_one_message() -> None:
    async def live() -> None:
        life = Life(on_interruption=heard.anote, on_resume=heard.anote)
        life.enters("Running")
        for _ in range(20):
            life.enters("Pending", "Preempted by team-b")
            await asyncio.sleep(1)
            life.enters("Running")
            await asyncio.sleep(1)

    lived(live)
    first, second = (context for _, _, context in heard.CALLS)
    assert (first["event"], first["count"], first["preemptions"]) == ("interruption", 20, 20)
    assert first["sentence"] == "train-g1 was preempted 20 times; it is Running now"
    assert first["last_at"] - first["first_at"] == pytest.approx(38, abs=1)
    assert (second["event"], second["count"]) == ("resume", 20)
    assert first["clocks"]["interruptions"] == 20
    assert len(first["timeline"]) == 10
    about = ("workload", "phase", "project", "link", "dag_id", "task_id", "run_id", "map_index")
    assert [first[key] for key in about] == (
        ["train-g1", "Running", "team-a", "http://here/w", "dag", "task", "run", 3]
    )


def test_a_later_storm_is_a_message_of_its_own() -> None:
    async def live() -> None:
        life = Life(on_interruption=heard.anote)
        for _ in range(3):
            life.enters("Running")
            await asyncio.sleep(1)
            life.enters("Pending")
            await asyncio.sleep(3600)

    lived(live)
    assert [context["count"] for _, _, context in heard.CALLS] == [1, 1, 1]


def test_what_is_gathered_is_told_when_the_wait_ends() -> None:
    async def live() -> None:
        life = Life(on_interruption=heard.anote)
        life.enters("Running")
        life.enters("Pending")
        life.ends("gone", "was deleted")
        await asyncio.sleep(1)
        assert len(heard.CALLS) == 1

    lived(live)
    assert len(heard.CALLS) == 1


@pytest.mark.parametrize(
    ("given", "who", "kwargs"),
    [
        (heard.note, "note", {"thread": "runai-callbacks"}),
        (heard.anote, "anote", {}),
        (SyncCallback(heard.note, {"to": "x"}), "note", {"to": "x", "thread": "runai-callbacks"}),
        (AsyncCallback(heard.anote, {"to": "x"}), "anote", {"to": "x"}),
        (
            heard.Pager("{{ sentence }}"),
            "Pager",
            {"text": "train-g1 stalled: no node", "channel": "ops"},
        ),
        (heard.AwaitedPager("{{ workload }}"), "AwaitedPager", {"text": "train-g1"}),
    ],
)
def test_each_form_is_called_once_for_a_stall(given: Any, who: str, kwargs: dict[str, Any]) -> None:
    async def live() -> None:
        life = Life(on_stall=given)
        life.enters("Initializing")
        life.ends("stalled", "no node")

    lived(live)
    ((name, arguments, context),) = heard.CALLS
    assert (name, arguments) == (who, kwargs)
    assert context["event"] == "stall"


def test_other_ends_are_no_stall() -> None:
    async def live() -> None:
        life = Life(on_stall=heard.anote)
        life.enters("Initializing")
        life.ends("timed_out", "too long")

    lived(live)
    assert heard.CALLS == []


def test_a_long_queue_is_told_once_a_stretch() -> None:
    async def live() -> None:
        life = Life(on_long_queue=heard.anote)
        begin = time.time()
        life.enters("Creating")
        life.enters("Pending")
        await asyncio.sleep(3590)
        assert heard.CALLS == []
        await asyncio.sleep(20)
        assert heard.CALLS[0][2]["first_at"] == pytest.approx(begin, abs=1)
        life.enters("Pending", "still no node")
        await asyncio.sleep(8000)
        life.enters("Running")
        life.enters("Pending")
        await asyncio.sleep(3500)
        life.enters("Running")
        await asyncio.sleep(8000)
        life.enters("Pending")
        await asyncio.sleep(3610)

    lived(live)
    assert [context["sentence"] for _, _, context in heard.CALLS] == (
        ["train-g1 has been waiting for GPUs for 1 h 0 min"] * 2
    )


def test_a_queue_that_began_before_this_process_is_told_in_time() -> None:
    async def live() -> None:
        life = Life(on_long_queue=heard.anote)
        life.moments = [
            Moment(time.time() - 9000, "(not seen)"),
            Moment(time.time() - 3000, "Pending"),
        ]
        life.is_sighted()
        await asyncio.sleep(590)
        assert heard.CALLS == []
        await asyncio.sleep(20)

    lived(live)
    assert len(heard.CALLS) == 1


def test_what_was_told_before_a_restart_is_not_told_again() -> None:
    async def live() -> None:
        life = Life(on_interruption=heard.anote)
        begin = time.time()
        life.moments = [
            Moment(begin - 9000, "Running"),
            Moment(begin - 8000, "Pending"),
            Moment(begin - 7000, "Running"),
            Moment(begin - 10, "Pending"),
        ]
        life.is_sighted()

    lived(live)
    assert [context["count"] for _, _, context in heard.CALLS] == [1]


def test_failures_are_one_sentence_each_and_hurt_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def live() -> None:
        missing = "tests.airflow.nowhere.alert"
        life = Life(on_stall=[heard.broken, missing, heard.endless, heard.note])
        life.enters("Initializing")
        life.ends("stalled", "no node")

    lived(live)
    assert [name for name, _, _ in heard.CALLS] == ["broken", "note"]
    said = [r.getMessage() for r in caplog.records if r.name.endswith("messenger")]
    assert sorted(said) == [
        "tests.airflow.heard.broken failed (ZeroDivisionError: a�[31m bug); the wait goes on",
        "tests.airflow.heard.endless was given up after 30 s; the wait goes on",
        "tests.airflow.nowhere.alert failed (ModuleNotFoundError: "
        "No module named 'tests.airflow.nowhere'); the wait goes on",
    ]

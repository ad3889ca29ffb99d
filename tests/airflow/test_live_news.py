"""What people see of a wait: its own news, and what is found out beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_runai.backends import control_plane
from airflow_runai.core.outcome import news
from airflow_runai.core.phases import Meaning
from airflow_runai.core.timeline import clocks
from airflow_runai.emulator import Emulator
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks import long_waits
from airflow_runai.tasks.live_news import TAB_LINES, LiveNews
from tests.airflow.running import Person, Run, dag_of, meanwhile
from tests.airflow.test_long_waits import SENTENCE
from tests.core.stage import NOON, acts
from tests.support.waiting import wait_until

QUEUED = ((0, "Creating"), (5, "Pending"))
RUNS = (*QUEUED, (10, "Running"))


def told(*moments: tuple[float, str]) -> dict[str, Any]:
    timeline = acts(*moments)
    return news(timeline, clocks(timeline, NOON + 100), timeline[-1].phase)


@pytest.fixture
def published() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def live(published: list[dict[str, Any]]) -> LiveNews:
    return LiveNews(lambda whole: published.append(dict(whole)))


def test_the_reasons_of_a_phase_end_with_it(
    live: LiveNews, published: list[dict[str, Any]]
) -> None:
    live.take(told(*QUEUED))
    live.explain(["no node has room"])
    live.take(told(*QUEUED))  # the same moment: it was told again
    live.take(told(*RUNS))
    assert [one.get("reasons") for one in published] == [
        None,
        ["no node has room"],
        ["no node has room"],
        None,
    ]
    assert published[1] == {**told(*QUEUED), "reasons": ["no node has room"]}


def test_the_log_and_the_nodes_stay(live: LiveNews, published: list[dict[str, Any]]) -> None:
    live.add_log(["early"], 1, "")
    assert published == [], "there is no timeline to go with it yet"
    live.take(told(*RUNS))
    live.add_log([f"line {n}" for n in range(100)], 1, "node-1")
    live.take(told(*RUNS, (60, "Pending"), (90, "Running")))
    live.add_log([], 2, "node-2")
    first, *_, last = published
    assert (first["log_tail"], "incarnations" in first) == (["early"], False)
    assert last["log_tail"] == [f"line {n}" for n in range(100 - TAB_LINES, 100)]
    assert last["incarnations"] == [
        {"since": NOON + 10, "until": NOON + 60, "node": "node-1"},
        {"since": NOON + 90, "node": "node-2"},
    ]


def test_a_wait_in_the_worker_tells_why_it_takes_long(
    run: Callable[..., Run],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(long_waits.PATIENCE, Meaning.WAITING, 0.2)
    shown = ""

    def read() -> bool:
        nonlocal shown
        shown += "".join(capsys.readouterr())
        return SENTENCE in shown

    def end_it() -> None:
        person = Person(emulator)
        person.wait_for("long", "Pending")
        wait_until(read, "the reasons")
        person.steer(control_plane.delete, "long")

    spec = {"image": "x:1", "compute": {"gpu_devices": 6}}
    with meanwhile(end_it):
        done = run(
            dag_of(
                lambda: RunaiTrainingOperator(
                    task_id="task",
                    spec=spec,
                    workload_name="long",
                    poll_interval=0.1,
                    deferrable=False,
                )
            )
        )
    assert done.state == "failed"
    assert SENTENCE in shown

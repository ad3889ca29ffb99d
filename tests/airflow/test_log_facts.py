"""What the tab shows of a log while a task waits, and what a wait in the worker tells."""

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
from airflow_runai.tasks.log_facts import TAB_LINES, LogFacts, for_tab
from tests.airflow.running import Person, Run, dag_of, meanwhile
from tests.airflow.test_long_waits import SENTENCE
from tests.core.stage import NOON, acts
from tests.support.waiting import wait_until

RUNS = ((0, "Creating"), (5, "Pending"), (10, "Running"))


def told(*moments: tuple[float, str]) -> dict[str, Any]:
    timeline = acts(*moments)
    return news(timeline, clocks(timeline, NOON + 100), timeline[-1].phase)


def test_the_log_and_the_nodes_stay() -> None:
    facts = LogFacts()
    assert facts.beside(told(*RUNS)) == told(*RUNS)
    facts.add([f"line {n}" for n in range(100)], 1, "node-1")
    facts.add([], 2, "node-2")
    interrupted = told(*RUNS, (60, "Pending"), (90, "Running"))
    assert facts.beside(interrupted) == {
        **interrupted,
        "log_tail": [f"line {n}" for n in range(100 - TAB_LINES, 100)],
        "incarnations": [
            {"since": NOON + 10, "until": NOON + 60, "node": "node-1"},
            {"since": NOON + 90, "node": "node-2"},
        ],
    }


@pytest.mark.parametrize(("letter", "shown"), [("x", 20), ("\N{GRINNING FACE}", 10)])
def test_the_end_of_a_log_is_bounded_in_bytes(letter: str, shown: int) -> None:
    lines = [f"{number:02} {97 * letter}" for number in range(100)]
    assert for_tab(lines) == lines[-shown:]


@pytest.mark.parametrize("last", ["Running", "Pending"])
def test_nodes_stay_with_their_incarnations_when_the_timeline_is_cut(last: str) -> None:
    facts = LogFacts()
    moments = [(0.0, "Pending")]
    for number in range(1, 301):
        moments += [(100.0 * number, "Running"), (100.0 * number + 50, "Pending")]
        facts.add([], number, f"node-{number}")
    while moments[-1][1] != last:
        moments.pop()
    shown = facts.beside(told(*moments))["incarnations"]
    assert len(shown) > 80
    for life in shown:
        assert life["node"] == f"node-{round((life['since'] - NOON) / 100)}"
    assert shown[-1]["node"] == "node-300"


@pytest.mark.slow
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

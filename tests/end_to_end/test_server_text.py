"""What the control plane says is data: nothing in it ends a triggerer, or harms the tasks that wait there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start
from tests.support.waiting import wait_until

#: PostgreSQL refuses NUL, Airflow's encoder half a surrogate; ESC and U+202E are for terminals and
#: readers.
TEXT = "said: nul \x00 ink \x1b[31m turn \u202e half \ud83d"
SHOWN = "said: nul � ink �[31m turn � half �"


@dataclass
class Waits:
    """Three tasks that wait on one triggerer, each for a workload on a Run:ai of its own."""

    words: tuple[Site, Run]
    name: tuple[Site, Run]
    innocent: tuple[Site, Run]
    triggerer: set[int]


@pytest.fixture(scope="module")
def waits(airflow: Airflow, start: Start) -> Iterator[Waits]:
    """One whose workload ends with hostile words, one whose workload gets a hostile name, an innocent one."""
    started = Waits(start(), start(), start(), set())
    for here, run in (started.words, started.name, started.innocent):
        here.runs_deferred(run)
    started.triggerer = airflow.triggerers[-1].processes()
    started.words[0].emulator.faults.add("replace", fields=["phaseMessage"], text=TEXT, times=None)
    started.name[0].emulator.faults.add("replace", fields=["name"], text=TEXT, times=None)
    wait_until(
        lambda: "cannot read workload" in airflow.trigger_logs(started.name[1]),
        "the name is refused",
    )
    started.words[0].finish()
    started.innocent[0].finish()
    yield started
    started.name[0].emulator.faults.clear()


def test_a_final_message_of_any_characters_is_a_success(airflow: Airflow, waits: Waits) -> None:
    here, run = waits.words
    run.succeeds()
    assert run.task()["try_number"] == 1
    assert here.only_workload(run).phase == "Completed"
    last = run.xcom(key="runai_timeline")["timeline"][-1]
    assert (last["phase"], last["message"]) == ("Completed", SHOWN)
    said = [json.loads(line)["event"] for line in airflow.trigger_logs(run).splitlines()]
    assert any(SHOWN in words for words in said)
    assert all(words.isprintable() for words in said)


def test_a_task_beside_it_ends_well_on_the_same_triggerer(airflow: Airflow, waits: Waits) -> None:
    _, run = waits.innocent
    run.succeeds()
    assert run.task()["try_number"] == 1
    assert waits.triggerer <= airflow.triggerers[-1].processes()


def test_a_name_that_cannot_be_read_harms_its_own_wait_only(airflow: Airflow, waits: Waits) -> None:
    here, run = waits.name
    assert run.task()["state"] == "deferred"
    here.emulator.faults.clear()
    here.finish()
    run.succeeds()
    assert run.task()["try_number"] == 1
    assert here.only_workload(run).name == run.xcom()["name"]

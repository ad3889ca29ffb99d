"""`airflow runai reap`: ends what nobody waits for, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_runai.backends.control_plane import suspend
from airflow_runai.core.marks import Mark
from airflow_runai.emulator import Emulator
from tests.airflow.conftest import Minutes
from tests.airflow.running import Person
from tests.cli.conftest import Airflow
from tests.cli.test_ps import set_state, submit
from tests.support.waiting import wait_until

NOW = ("--older-than", "0", "-o", "json")


def reaped(airflow: Airflow, *words: str) -> dict[str, str]:
    shown = airflow("reap", *NOW, *words)
    assert shown.err == ""
    return {row["name"]: row["outcome"] for row in json.loads(shown.out)}


def desired(emulator: Emulator, name: str) -> str:
    (found,) = emulator.workloads_named(name)
    return found.desired


@pytest.mark.slow
def test_only_what_nobody_waits_for_is_ended(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes
) -> None:
    orphan, mapped = (
        submit(emulator, "long"),
        submit(emulator, "long", dag_id="deleted", map_index=5000),
    )
    awaited = submit(emulator, "long", dag_id="other")
    kept = submit(emulator, "long", dag_id="deleted", mark=Mark(-1, "keep"))
    unmarked = submit(emulator, "long-old", dag_id="deleted", mark=None)
    only_submitted = submit(
        emulator, "long-sub", dag_id="deleted", mark=Mark(-1, "stop", awaited=False)
    )
    theirs = submit(emulator, "long", instance="another")
    persons = Person(emulator).submit("team-a", "long-of-a-person").name
    set_state("failed")
    set_state("up_for_retry", dag_id="other")
    assert reaped(airflow) == {orphan: "deleted", mapped: "deleted"}
    assert minutes.slept == [60.0]
    assert {desired(emulator, name) for name in (orphan, mapped)} == {"Deleted"}
    left = (awaited, kept, unmarked, only_submitted, theirs, persons)
    assert {desired(emulator, name) for name in left} == {"Running"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [{"kind": "missing_fields", "missing": ("environmentVariables",)}]
)
def test_server_whose_lists_leave_variables_out_is_asked_for_each(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes, fault: dict[str, Any]
) -> None:
    orphan = submit(emulator, "long", dag_id="deleted", map_index=2000)
    theirs = submit(emulator, "long", dag_id="deleted", instance="another")
    emulator.faults.add(**fault, path="/api/v1/workloads", times=None)
    assert reaped(airflow) == {orphan: "deleted"}
    assert desired(emulator, theirs) == "Running"


def test_older_generations_and_slugs_of_a_task_that_goes_on_are_ended(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes
) -> None:
    first, second = (
        submit(emulator, "long-old-name"),
        submit(emulator, "long-new-name", generation=2),
    )
    set_state("deferred")
    shown = airflow("ps", "--orphans", "-o", "json")
    assert [row["name"] for row in json.loads(shown.out)] == [first]
    assert reaped(airflow) == {first: "deleted"}
    assert desired(emulator, second) == "Running"


@pytest.mark.slow
def test_author_s_word_to_suspend_holds_and_what_is_suspended_is_left(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes
) -> None:
    mine = submit(emulator, "long", dag_id="deleted", mark=Mark(-1, "suspend"))
    by_person = submit(emulator, "long-b", dag_id="deleted", map_index=1)
    person = Person(emulator)
    person.steer(suspend, by_person)
    person.wait_for(by_person, "Stopped")
    assert reaped(airflow) == {mine: "suspended"}
    wait_until(lambda: emulator.workloads_named(mine)[0].phase == "Stopped")
    assert reaped(airflow) == {}
    assert desired(emulator, by_person) != "Deleted"


@pytest.mark.parametrize("state", [None, "deferred", "awaiting_input"])
def test_task_that_is_cleared_between_the_two_looks_keeps_its_workload(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes, state: str | None
) -> None:
    name = submit(emulator, "long")
    set_state("failed")
    minutes.meanwhile = lambda: set_state(state)
    assert reaped(airflow) == {}
    assert desired(emulator, name) == "Running"


@pytest.mark.slow
def test_young_ones_are_left_and_a_dry_run_ends_nothing(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes
) -> None:
    name = submit(emulator, "long")
    set_state("success")
    assert airflow("reap").out == "no orphans\n"
    shown = airflow("reap", "--dry-run", *NOW)
    (row,) = json.loads(shown.out)
    assert (shown.code, row["name"], row["airflow"], row["outcome"]) == (
        1,
        name,
        "success",
        "would be ended",
    )
    assert (minutes.slept, desired(emulator, name)) == ([], "Running")


def test_age_is_counted_by_the_clock_of_the_control_plane(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes
) -> None:
    name = submit(emulator, "long", dag_id="deleted")
    emulator.faults.add("skew", seconds=1200, times=None)
    shown = airflow("reap", "--dry-run", "--older-than", "15m", "-o", "json")
    assert [row["name"] for row in json.loads(shown.out)] == [name]
    assert json.loads(airflow("reap", "--dry-run", "--older-than", "25m", "-o", "json").out) == []


@pytest.mark.slow
def test_orphan_that_cannot_be_ended_is_told_and_the_next_round_ends_it(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes
) -> None:
    name = submit(emulator, "long", dag_id="deleted")
    emulator.faults.add("status", status=503, method="DELETE")
    shown = airflow("reap", *NOW)
    assert shown.code == 1
    assert "503" in json.loads(shown.out)[0]["outcome"]
    assert reaped(airflow) == {name: "deleted"}


@pytest.mark.slow
def test_answer_404_to_what_is_listed_proves_nothing(
    airflow: Airflow, emulator: Emulator, database: None, minutes: Minutes
) -> None:
    name = submit(emulator, "long", dag_id="deleted")
    emulator.faults.add("status", status=404, method="GET", path="/api/v1/workloads/*")
    shown = airflow("reap", *NOW)
    assert (shown.code, json.loads(shown.out)[0]["outcome"]) == (
        1,
        "it is listed and cannot be found",
    )
    assert reaped(airflow) == {name: "deleted"}


@pytest.mark.parametrize("text", ["", "1.5m", "ten", "-1s", "1w", "²"])
def test_age_that_is_none_is_refused(airflow: Airflow, text: str) -> None:
    shown = airflow("reap", f"--older-than={text}")
    assert (shown.code, "allowed: a whole number with s, m, h or d" in shown.err) == (2, True)

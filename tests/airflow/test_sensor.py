"""
The sensor, deferred and poking: it waits for what someone else submitted, and never touches it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_runai.backends import control_plane
from airflow_runai.emulator import Emulator
from airflow_runai.sensors.workload import RunaiWorkloadSensor
from tests.airflow.running import Person, Run, dag_of, meanwhile

Runner = Callable[..., Run]
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "poking"])


def sensor(workload: str, **given: Any) -> Callable[[], RunaiWorkloadSensor]:
    known = {"task_id": "task", "workload": workload, "poke_interval": 0.1, **given}
    return lambda: RunaiWorkloadSensor(**known)


@pytest.mark.slow
@both
def test_workload_that_appears_later_is_waited_for(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    def appear() -> None:
        person = Person(emulator)
        assert not emulator.workloads_named("short-late")
        person.submit("team-a", "short-late")

    with meanwhile(appear):
        done = run(
            dag_of(
                sensor("short-{{ params.when }}", deferrable=deferrable), params={"when": "late"}
            )
        )
    assert done.state == "success", done.words
    assert done.xcom()["phase"] == "Completed"
    assert done.xcom()["name"] == "short-late"


@pytest.mark.slow
@both
@pytest.mark.parametrize(("soft", "state"), [(False, "failed"), (True, "skipped")])
def test_bad_end_fails_or_skips(
    run: Runner, emulator: Emulator, deferrable: bool, soft: bool, state: str
) -> None:
    Person(emulator).submit("team-a", "broken-theirs", backoffLimit=0)
    done = run(dag_of(sensor("broken-theirs", soft_fail=soft, deferrable=deferrable)))
    assert done.task().state == state
    if not soft:
        assert "broken-theirs failed" in done.words


@pytest.mark.slow
@both
@pytest.mark.parametrize(("soft", "state"), [(False, "failed"), (True, "skipped")])
def test_timeout_is_its_own_and_leaves_the_workload_alone(
    run: Runner, emulator: Emulator, deferrable: bool, soft: bool, state: str
) -> None:
    Person(emulator).submit("team-a", "long-theirs")
    done = run(dag_of(sensor("long-theirs", timeout=0.5, soft_fail=soft, deferrable=deferrable)))
    assert done.task().state == state
    assert emulator.workloads_named("long-theirs")[0].desired == "Running"


@pytest.mark.slow
@both
def test_workload_that_never_appears_times_out(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    done = run(dag_of(sensor("never", timeout=0.4, deferrable=deferrable)))
    assert done.task().state == "failed"
    assert "AirflowSensorTimeout" in done.words


@pytest.mark.slow
@both
def test_deleted_under_its_eyes_it_fails(run: Runner, emulator: Emulator, deferrable: bool) -> None:
    person = Person(emulator)
    person.submit("team-a", "long-theirs")

    def remove() -> None:
        person.wait_for("long-theirs", "Running")
        person.steer(control_plane.suspend, "long-theirs")

    with meanwhile(remove):
        done = run(dag_of(sensor("long-theirs", when_suspended="end", deferrable=deferrable)))
    assert "suspended by someone else" in done.words


@pytest.mark.slow
@both
def test_outage_says_nothing_about_the_workload(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    Person(emulator).submit("team-a", "short-theirs")
    emulator.faults.add("status", status=503, times=2, path="/api/v1/workloads*")
    done = run(dag_of(sensor("short-theirs", deferrable=deferrable)))
    assert done.state == "success", done.words


@pytest.mark.slow
@both
def test_unknown_project_is_refused_at_once(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    done = run(dag_of(sensor("x", project="team-x", retries=2, deferrable=deferrable)))
    assert "'team-x': no such project" in done.words
    assert done.task().try_number == 1


@both
def test_name_that_cannot_be_looked_up_is_refused_at_once(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    done = run(dag_of(sensor("{{ 'a,b' }}", retries=2, deferrable=deferrable)))
    assert "workload: 'a,b' cannot be looked up" in done.words
    assert done.task().try_number == 1


def test_unknown_word_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="when_suspended: 'stop'; allowed: 'wait' or 'end'"):
        sensor("x", when_suspended="stop")()

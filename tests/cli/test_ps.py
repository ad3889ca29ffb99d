"""`airflow runai ps` and `logs`: what of this Airflow is there, and where its logs are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_runai.backends.control_plane import create, delete
from airflow_runai.backends.organization import find_project
from airflow_runai.core.marks import Mark
from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.deployment.instance_name import name_in_database
from airflow_runai.emulator import Emulator
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Person, Run, register
from tests.cli.conftest import Airflow, executable

pytestmark = pytest.mark.usefixtures("database")


def submit(
    emulator: Emulator,
    slug: str,
    *,
    dag_id: str = "nightly",
    instance: str | None = None,
    map_index: int = -1,
    generation: int = 1,
    mark: Mark | None = Mark(-1, "stop"),  # it is frozen  # noqa: B008  # it is frozen
    **spec: Any,
) -> str:
    """Submit as a task instance does; return the workload's name."""
    person = Person(emulator)
    identity = TaskIdentity(instance or name_in_database(), dag_id, "run1", "train", map_index)
    about = {"DAG_ID": dag_id, "TASK_ID": "train", "DAG_RUN_ID": "run1"}
    whole = WorkloadSpec.from_mapping({"image": "x:1", "compute": {"gpu_devices": 1}, **spec})
    whole = whole.with_environment({f"AIRFLOW_CTX_{key}": value for key, value in about.items()})
    mark = mark and replace(mark, map_index=map_index)
    order = SubmissionRequest(
        generation_name(base_name(identity, slug), generation), whole, 1, mark
    )
    place = person.do(find_project("team-a"))
    return person.do(create(place, order.spec.kind, order.name, order.body())).name


def set_state(state: str | None, dag_id: str = "nightly") -> None:
    """Let Airflow know the run of :func:`submit`, and be so far with it."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import update

    same = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == "run1")
    with create_session() as session:
        known = session.query(TaskInstance).filter(*same).count()
    if not known:
        _make_run(dag_id)
    with create_session() as session:
        session.execute(update(TaskInstance).where(*same).values(state=state))


def _make_run(dag_id: str) -> None:
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with DAG(dag_id, schedule=None) as dag:
        RunaiTrainingOperator(task_id="train", spec={"image": "x:1"})
    register(dag)
    scheduled = SerializedDagModel.get_dag(dag_id)
    assert scheduled is not None
    how: dict[str, Any] = {
        "run_type": DagRunType.MANUAL,
        "triggered_by": DagRunTriggeredByType.TEST,
    }
    begun: dict[str, Any] = {"run_after": datetime.now(timezone.utc), "state": DagRunState.RUNNING}
    with create_session() as session:
        scheduled.create_dagrun(run_id="run1", **how, **begun, session=session)


def listed(airflow: Airflow, *words: str) -> list[dict[str, Any]]:
    shown = airflow("ps", *words, "-o", "json")
    assert shown.code == 0, shown.err
    found: list[dict[str, Any]] = json.loads(shown.out)
    return found


@pytest.mark.slow
def test_only_what_this_airflow_made_is_listed(airflow: Airflow, emulator: Emulator) -> None:
    ours = submit(emulator, "long")
    submit(emulator, "long-theirs", instance="another")
    Person(emulator).submit("team-a", "long-of-a-person")
    Person(emulator).wait_for(ours, "Running")
    (row,) = listed(airflow)
    assert (row["name"], row["phase"], row["project"]) == (ours, "Running", "team-a")
    assert (row["dag"], row["task"], row["run"], row["map_index"]) == (
        "nightly",
        "train",
        "run1",
        -1,
    )
    assert 0 <= row["running"] <= row["age"] < 60
    assert row["interruptions"] == 0


@pytest.mark.slow
def test_connection_that_only_airflow_s_database_has_is_found(
    airflow: Airflow, emulator: Emulator, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    known = json.loads(os.environ["AIRFLOW_CONN_RUNAI_DEFAULT"])
    monkeypatch.delenv("AIRFLOW_CONN_RUNAI_DEFAULT")
    fields = {name: known[name] for name in ("conn_type", "host", "login", "password")}
    with create_session() as session:
        session.add(Connection(conn_id="only_there", **fields))
    name = submit(emulator, "long")
    assert [row["name"] for row in listed(airflow, "--conn", "only_there")] == [name]
    assert "_AIRFLOW_PROCESS_CONTEXT" not in os.environ


@pytest.mark.slow
def test_preemptions_and_mapped_tasks_are_told(airflow: Airflow, emulator: Emulator) -> None:
    name, person = submit(emulator, "long", map_index=7), Person(emulator)
    person.wait_for(name, "Running")
    assert emulator.preempt(name)
    person.wait_for(name, "Running")
    (row,) = listed(airflow)
    assert (row["map_index"], row["interruptions"]) == (7, 1)
    shown = airflow("ps").out.splitlines()
    head = [
        "name",
        "project",
        "phase",
        "airflow",
        "age",
        "queue",
        "running",
        "interrupted",
        "dag",
        "task",
        "run",
    ]
    assert shown[0].split() == head
    assert "train[7]" in shown[2]


@pytest.mark.slow
def test_why_a_workload_waits_is_told_below_the_table(airflow: Airflow, emulator: Emulator) -> None:
    name = submit(emulator, "long", compute={"gpu_devices": 6})
    Person(emulator).wait_for(name, "Pending")
    Person(emulator).wait_for(submit(emulator, "long-runs", map_index=1), "Running")
    sentence = "it can never start: asks for 6 GPUs; the cluster has 4; ask for fewer GPUs"
    assert [row["reasons"] for row in listed(airflow)] == [[sentence], []]
    assert airflow("ps").out.splitlines()[-2:] == ["", f"{name}: {sentence}"]
    assert sentence not in airflow("ps", "-o", "plain").out


@pytest.mark.slow
def test_ended_and_deleted_ones_are_listed_only_with_all(
    airflow: Airflow, emulator: Emulator
) -> None:
    done, gone, person = submit(emulator, "short"), submit(emulator, "long"), Person(emulator)
    person.wait_for(done, "Completed")
    person.wait_for(gone, "Running")
    person.steer(delete, gone)
    assert listed(airflow) == []
    phases = {row["name"]: row["phase"] for row in listed(airflow, "--all")}
    assert phases[done] == "Completed"
    assert phases[gone] in ("Deleted", "Deleting")
    assert airflow("ps").out == "nothing of this Airflow is there\n"


@pytest.mark.slow
def test_without_a_project_all_that_can_be_seen_is_listed(
    airflow: Airflow, emulator: Emulator, connect: Callable[..., None]
) -> None:
    name = submit(emulator, "long")
    connect(emulator.url, project=None)
    assert [row["name"] for row in listed(airflow)] == [name]
    assert listed(airflow, "--project", "team-b") == []
    shown = airflow("ps", "--project", "team-x")
    assert (shown.code, "project 'team-x': no such project" in shown.err) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "shown", "orphan"),
    [
        ("deferred", "deferred", False),
        (None, "none", False),
        ("up_for_retry", "up_for_retry", False),
        ("failed", "failed", True),
        ("success", "success", True),
    ],
)
def test_state_of_the_task_tells_whether_anybody_sees_to_its_workload(
    state: str | None,
    shown: str,
    orphan: bool,
    airflow: Airflow,
    emulator: Emulator,
    database: None,
) -> None:
    name = submit(emulator, "long")
    set_state(state)
    (row,) = listed(airflow)
    assert (row["name"], row["airflow"]) == (name, shown)
    assert airflow("ps", "--orphans").code == int(orphan)
    assert (name in airflow("ps", "--orphans").out) == orphan


@pytest.mark.slow
def test_workload_whose_run_airflow_does_not_know_is_an_orphan_until_it_ends(
    airflow: Airflow, emulator: Emulator, database: None
) -> None:
    alive, mapped = (
        submit(emulator, "long", dag_id="deleted"),
        submit(emulator, "long", dag_id="deleted", map_index=3),
    )
    done = submit(emulator, "short", dag_id="deleted")
    Person(emulator).wait_for(done, "Completed")
    shown = airflow("ps", "--orphans", "--all", "-o", "json")
    assert {row["name"]: row["airflow"] for row in json.loads(shown.out)} == {
        alive: "missing",
        mapped: "missing",
    }
    assert shown.code == 1


@pytest.mark.slow
def test_workload_that_its_author_keeps_beyond_a_limit_is_listed_with_its_run_and_is_no_orphan(
    airflow: Airflow, emulator: Emulator, run: Callable[..., Run]
) -> None:
    with DAG("limited", schedule=None) as dag:
        RunaiTrainingOperator(
            task_id="train",
            workload_name="long",
            spec={"image": "x:1"},
            timeouts={"running": 0.2},
            on_kill="keep",
        )
    done = run(dag)
    assert done.state == "failed"
    (row,) = listed(airflow)
    assert listed(airflow, "--orphans") == []
    assert (row["dag"], row["run"], row["phase"], row["airflow"]) == (
        "limited",
        done.run_id,
        "Running",
        "failed",
    )


def test_no_orphans_is_fine(airflow: Airflow, emulator: Emulator, database: None) -> None:
    shown = airflow("ps", "--orphans")
    assert (shown.code, shown.out) == (0, "no orphans\n")


@pytest.mark.slow
def test_without_airflow_s_database_the_rest_is_listed_and_orphans_are_not_guessed(
    emulator: Emulator, tmp_path: Path
) -> None:
    name = submit(emulator, "long", instance="configured")
    empty = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/none.db",
    }
    named = {**empty, "AIRFLOW__RUNAI__INSTANCE_NAME": "configured"}
    plain, orphans, nameless = (
        executable("ps", **named),
        executable("ps", "--orphans", **named),
        executable("ps", **empty),
    )
    assert (plain.returncode, name in plain.stdout) == (0, True)
    assert (
        "warning: states of tasks are not known; Airflow's database: OperationalError: no such table"
        in plain.stderr
    )
    assert (orphans.returncode, orphans.stdout) == (1, "")
    assert "error: Airflow's database: " in orphans.stderr
    assert (nameless.returncode, nameless.stdout) == (1, "")
    assert "error: Airflow's database: " in nameless.stderr
    assert "Traceback" not in plain.stderr + orphans.stderr + nameless.stderr


@pytest.mark.slow
def test_logs_without_the_cluster_says_where_else_to_look(
    airflow: Airflow, emulator: Emulator
) -> None:
    name = submit(emulator, "long")
    Person(emulator).wait_for(name, "Running")
    before = len(emulator.requests)
    emulator.faults.add("status", path="/cluster-api/*", status=403, times=None)
    shown = airflow("logs", name)
    assert shown.code == 1
    assert "error: the log cannot be read: GET " in shown.err
    assert f"{name} (Running): other ways to its log are" in shown.out
    assert f"runai training logs {name} -p team-a" in shown.out
    assert f"kubectl logs -n runai-team-a {name}" in shown.out
    assert f"{emulator.url}/workloads?search={name}" in shown.out
    assert [r.path for r in emulator.requests[before:] if r.path.startswith("/_emulator")] == []
    document = json.loads(airflow("logs", name, "-o", "json").out)
    assert (document["name"], document["logs"]) == (name, None)
    assert "403" in document["error"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nowhere",), 1, "has none of this name"),
        (("a,b",), 1, "cannot be looked up"),
        ((), 2, "workload"),
    ],
)
def test_workload_that_is_none_is_named(
    words: tuple[str, ...], code: int, says: str, airflow: Airflow, emulator: Emulator
) -> None:
    shown = airflow("logs", *words)
    assert shown.code == code
    assert says in shown.err

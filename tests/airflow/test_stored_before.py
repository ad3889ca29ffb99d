"""What an older version has stored names a workload by less, and is still read: an upgrade meets work in flight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_runai.backends.submission import generations
from airflow_runai.core.flow import Reply, Request, drive
from airflow_runai.core.note import Note
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.project import Project
from airflow_runai.core.workload import Workload
from airflow_runai.links import workload_in
from airflow_runai.tasks.checkpoint_query import CheckpointQuery
from airflow_runai.tasks.checkpoint_wait import (
    CallApi,
    CheckpointWait,
    FetchTaskState,
    FetchXCom,
    Step,
)
from airflow_runai.triggers.room import RunaiRoomTrigger
from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.backends.rest import BACKEND, PROJECT, item, reply
from tests.core.stage import Hand

NAME = "train-0123456789-g1"
OLD_XCOM = {
    "id": "w-1",
    "name": NAME,
    "project": "team-a",
    "url": "https://org.run.ai/x",
    "gpus": 1,
}
NEW_XCOM = {**OLD_XCOM, "project_id": "4501", "cluster_id": "cluster-1", "kind": "Training"}
OLD_NOTE = {"generation": 1, "try_number": 1, "workload_id": "w-1", "name": NAME}
NEW_NOTE = {**OLD_NOTE, "project_id": "4501", "cluster_id": "cluster-1"}
TRAINING = {"dag_id": "dag", "run_id": "now", "task_id": "train", "map_index": -1}


def deleted(request: Request) -> Reply:
    """A control plane that lists ``w-1`` as deleted, and has nothing else."""
    if request.path != "/api/v1/workloads":
        return reply({"message": "not found"}, 404)
    is_wanted = "name==" in dict(request.params)["filterBy"]
    return reply({"workloads": [item("w-1", "Failed", name=NAME)] if is_wanted else []})


def conditions(hand: Hand) -> str:
    """The filter of the list that was asked for last."""
    return dict(hand.asked[-1].params)["filterBy"]


@pytest.mark.parametrize(
    ("pushed", "condition"),
    [(OLD_XCOM, f"name=={NAME}"), (NEW_XCOM, f"projectId==4501,name=={NAME}")],
    ids=["old", "new"],
)
def test_a_sensor_finds_the_training_that_a_task_has_left_in_xcom(
    tmp_path: Path, pushed: dict[str, Any], condition: str
) -> None:
    hand = Hand(answer=deleted)

    def do(step: Step) -> Any:
        if isinstance(step, FetchXCom):
            return pushed
        if isinstance(step, FetchTaskState):
            return "failed"
        if isinstance(step, CallApi):
            return hand.run(step.flow(BACKEND))
        return step.call(lambda _: None)

    event = drive(CheckpointWait(CheckpointQuery(str(tmp_path)), TRAINING).poll(), do)
    assert event is not None
    assert event["words"].startswith(f"workload {NAME} failed")
    assert event["workload"]["id"] == "w-1"
    listed = [r for r in hand.asked if r.path == "/api/v1/workloads"]
    assert dict(listed[0].params)["filterBy"] == condition


def test_xcom_says_all_that_is_needed_to_find_a_workload() -> None:
    found = workload_in(NEW_XCOM)
    assert (found.id, found.name, found.path) == ("w-1", NAME, "trainings")
    assert Project.of(found) == Project("4501", "", "cluster-1")
    assert workload_in(OLD_XCOM) == Workload("w-1", NAME, "")


@pytest.mark.parametrize(
    ("stored", "condition"),
    [(OLD_NOTE, f"name=={NAME}"), (NEW_NOTE, f"projectId==4501,name=={NAME}")],
    ids=["old", "new"],
)
def test_a_noted_workload_is_looked_up_where_the_note_says(
    stored: dict[str, Any], condition: str
) -> None:
    hand, note = Hand(answer=deleted), Note.from_json(stored)
    assert note is not None
    ((generation, found),) = hand.run(generations(BACKEND, PROJECT, "9876543210", note))
    assert (generation, found.id, found.deleted) == (1, "w-1", True)
    assert conditions(hand) == condition


def test_triggers_that_were_stored_begin_again_and_are_stored_as_before() -> None:
    workload = {"id": "w-1", "name": NAME, "project_id": "4501", "cluster_id": "c", "phase": ""}
    policy = {"poll_interval": 30.0, "when_suspended": "wait", "timeouts": {}}
    stored: dict[str, Any] = {
        "runai_conn_id": "gpu",
        "workload": workload,
        "policy": policy,
        "on_kill": "stop",
    }
    again = RunaiWorkloadTrigger(**stored).serialize()[1]
    assert {key: again[key] for key in stored} == stored
    project = {"id": "4501", "name": "team-a", "cluster_id": "c", "namespace": ""}
    room: dict[str, Any] = {
        "runai_conn_id": "gpu",
        "project": project,
        "need": {"when": "quota"},
        "since": 1.0,
    }
    kept = RunaiRoomTrigger(**room).serialize()[1]
    assert {key: kept[key] for key in room} == room
    assert Project(**kept["project"]) == Project("4501", "team-a", "c")


def test_an_event_without_a_project_leads_to_the_workload_by_its_id() -> None:
    event = {"status": "gone", "workload_id": "w-1", "name": NAME, "phase": "Running"}
    found = Outcome.from_event(event).workload()
    assert (found.id, found.name, found.project_id) == ("w-1", NAME, "")
    hand = Hand(answer=lambda _: reply(item("w-1", name=NAME)))
    assert hand.run(BACKEND.reader(found).read(found.id)).project_id == "4501"

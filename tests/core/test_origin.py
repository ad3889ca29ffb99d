"""Whose a workload is: the variables say it, the hash in its name proves it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.marks import Mark
from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.core.origin import Origin, origin

VARIABLES = {
    "AIRFLOW_RUNAI_FINGERPRINT": "0" * 16,
    "AIRFLOW_CTX_DAG_ID": "dag",
    "AIRFLOW_CTX_TASK_ID": "task",
    "AIRFLOW_CTX_DAG_RUN_ID": "run",
}


def item(map_index: int = -1, instance: str = "prod", **variables: Any) -> dict[str, Any]:
    name = generation_name(base_name(TaskIdentity(instance, "dag", "run", "task", map_index)), 3)
    return {"name": name, "environmentVariables": {**VARIABLES, **variables}}


@pytest.mark.parametrize("map_index", [-1, 0, 1023])
def test_task_instance_is_found_with_its_map_index(map_index: int) -> None:
    assert origin(item(map_index), "prod") == Origin("dag", "task", "run", map_index)


def test_map_index_that_the_workload_carries_may_be_any() -> None:
    mark = Mark(1_000_000, "stop").to_environment()
    assert origin(item(1_000_000, **mark), "prod") == Origin("dag", "task", "run", 1_000_000)
    assert origin(item(5, **mark), "prod") is None, (
        "the hash does not prove what was edited by hand"
    )


@pytest.mark.parametrize(
    "other",
    [
        item(instance="another"),
        item(AIRFLOW_CTX_DAG_ID="other"),
        item(AIRFLOW_CTX_TASK_ID=None),
        item(AIRFLOW_RUNAI_FINGERPRINT=None) | {"environmentVariables": {"A": "1"}},
        item() | {"name": "train1"},
        item() | {"name": None},
        {},
    ],
)
def test_what_another_made_is_not_ours(other: dict[str, Any]) -> None:
    assert origin(other, "prod") is None


def test_variables_may_be_a_list_of_names_and_values() -> None:
    listed = [{"name": name, "value": value} for name, value in VARIABLES.items()]
    assert origin(item() | {"environmentVariables": listed}, "prod") == Origin(
        "dag", "task", "run", -1
    )


def test_server_that_lists_no_variables_leaves_the_name_only() -> None:
    assert origin({"name": item()["name"]}, "prod") == Origin()
    assert origin({"name": "train1"}, "prod") is None

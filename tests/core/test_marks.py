"""What a workload says about its task: written beside the fingerprint, read with mistrust."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.marks import Mark
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission_request import SubmissionRequest

VARIABLES = {
    "AIRFLOW_RUNAI_MAP_INDEX": "7",
    "AIRFLOW_RUNAI_ON_KILL": "suspend",
    "AIRFLOW_RUNAI_AWAITED": "true",
}


def body(mark: Mark | None) -> dict[str, str]:
    listed = SubmissionRequest("n", WorkloadSpec.from_mapping({"image": "a:1"}), 1, mark).body()[
        "spec"
    ]["environmentVariables"]
    return {entry["name"]: entry["value"] for entry in listed}


@pytest.mark.parametrize("mark", [Mark(-1, "stop"), Mark(123_456_789, "keep", awaited=False)])
def test_mark_travels_in_the_variables_of_the_workload(mark: Mark) -> None:
    assert Mark.from_environment(body(mark)) == mark


def test_fingerprint_does_not_know_the_mark() -> None:
    with_mark, without = body(Mark(7, "suspend")), body(None)
    assert {name: with_mark.pop(name) for name in VARIABLES} == VARIABLES
    assert with_mark == without


@pytest.mark.parametrize(
    "damage",
    [
        *({name: None} for name in VARIABLES),
        {"AIRFLOW_RUNAI_MAP_INDEX": "-2"},
        {"AIRFLOW_RUNAI_MAP_INDEX": "9" * 4000},
        {"AIRFLOW_RUNAI_MAP_INDEX": "²"},
        {"AIRFLOW_RUNAI_MAP_INDEX": 7},
        {"AIRFLOW_RUNAI_ON_KILL": "delete"},
        {"AIRFLOW_RUNAI_ON_KILL": ["stop"]},
        {"AIRFLOW_RUNAI_AWAITED": "yes"},
    ],
)
def test_mark_that_was_edited_by_hand_is_none(damage: dict[str, Any]) -> None:
    assert Mark.from_environment({**VARIABLES, **damage}) is None

"""What holds for every specification: it becomes an object with all guarantees, or all reasons are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.manifests import DIALECTS, Manifests, render
from airflow_runai.errors import SpecError
from tests.core.manifests.fields import leaves
from tests.core.manifests.requests import KINDS, flat, pods, request_of
from tests.core.manifests.strategies import FIELDS, specs

PAIRS = [(dialect, kind) for dialect in DIALECTS for kind in KINDS]


def rendered(source: dict[str, Any], dialect: str) -> Manifests | None:
    """Return the objects; ``None`` if the specification contradicts itself or cannot be expressed."""
    try:
        return render(request_of(source), DIALECTS[dialect])
    except SpecError as error:
        strange = [problem for problem in error.problems if not problem.startswith("spec.")]
    assert strange == []
    return None


def test_every_field_has_a_strategy() -> None:
    assert set(FIELDS) == set(leaves())


@pytest.mark.slow
@pytest.mark.parametrize(("dialect", "kind"), PAIRS)
@given(data=st.data())
def test_an_object_has_every_guarantee_or_all_reasons_are_told(
    dialect: str, kind: str, data: st.DataObject
) -> None:
    source = data.draw(specs(dialect, kind))
    made = rendered(source, dialect)
    if made is None:
        return
    workload = made.workload
    assert json.loads(json.dumps(workload, allow_nan=False)) == workload
    assert not any(value is None for _, value in flat(workload))
    assert "activeDeadlineSeconds" not in json.dumps(workload)
    for pod in pods(workload):
        assert pod["spec"]["restartPolicy"] == "Never"
        (main,) = pod["spec"]["containers"]
        assert main["name"] == "main"
    jobs = (
        [workload]
        if kind == "Job"
        else [one["template"] for one in workload["spec"]["replicatedJobs"]]
    )
    for job in jobs:
        assert job["spec"]["podReplacementPolicy"] == "Failed"
        assert job["spec"]["podFailurePolicy"]["rules"]


@given(data=st.data())
def test_no_value_of_a_variable_is_in_an_annotation_of_the_provider(data: st.DataObject) -> None:
    secret = "Zq9xK7vB-hunter2"
    source = {**data.draw(specs("kai", "Job")), "environment": {"A": f"{secret} and more"}}
    made = rendered(source, "kai")
    if made is not None:
        own = made.workload["metadata"]["annotations"]
        assert secret not in own["airflow-runai/specification"]

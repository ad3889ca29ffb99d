"""The annotation that says what a workload was made from gives no secret away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_runai.core.manifests.specification import MAX_LENGTH, specification
from airflow_runai.core.spec import WorkloadSpec
from tests.core.manifests.requests import BASE, flat, workload

SECRET = "hunter2-Zq9xK7vB"
PLACES: dict[str, dict[str, Any]] = {
    "variable": {"environment": {"PLAIN": SECRET}},
    "option": {"args": f"--epochs 3 --api-key {SECRET}"},
    "address": {"storage": {"git": [{"repository": f"https://user:{SECRET}@git.example/x", "path": "/s"}]}},
    "annotation": {"annotations": {"db_password": SECRET}},
    "long text": {"command": f"echo {'x' * 5000} {SECRET}"},
    "variable of a sidecar": {
        "raw": {"kubernetes": {"spec": {"template": {"spec": {"initContainers": [{"name": "s", "env": [{"name": "PLAIN", "value": SECRET}]}]}}}}}
    },
    "variable of a master": {
        "distributed": {"framework": "PyTorch", "workers": 1, "master": {"environment": {"PLAIN": SECRET}}}
    },
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_reaches_the_annotations_of_the_provider(place: str) -> None:
    made = workload(PLACES[place])
    own = {
        key: text
        for key, text in made["metadata"]["annotations"].items()
        if key.startswith("airflow-runai/")
    }
    assert len(own) == 3
    assert SECRET not in json.dumps(own)
    # It did reach the object, where the author has put it.
    assert SECRET in json.dumps(
        [value for path, value in flat(made) if "airflow-runai" not in path]
    )


def test_what_is_no_secret_can_be_compared() -> None:
    spec = WorkloadSpec.from_mapping(
        {"image": "a:1", "args": "--epochs 3", "environment": {"A": "1"}, "labels": {"team": "a"}}
    )
    kept = json.loads(specification(spec, BASE))["spec"]
    assert (kept["image"], kept["args"]) == ("a:1", "--epochs 3")
    assert kept["labels"] == [{"name": "team", "value": "a"}]
    (variable,) = kept["environmentVariables"]
    assert variable["value"].startswith("sha256:")


def test_digests_agree_for_one_workload_only() -> None:
    spec = WorkloadSpec.from_mapping({"image": "a:1", "environment": {"A": SECRET}})
    assert specification(spec, BASE) == specification(spec, BASE)
    assert specification(spec, BASE) != specification(spec, "other-0123456789")


def test_an_annotation_never_becomes_large() -> None:
    spec = WorkloadSpec.from_mapping(
        {"image": "a:1", "labels": {f"n{i}": "x" for i in range(MAX_LENGTH // 20)}}
    )
    assert specification(spec, BASE) == ""

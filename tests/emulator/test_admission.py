"""What the emulated control plane refuses, and that nothing it accepts brings it down."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_runai.emulator import Emulator, EmulatorSettings, SteppedClock, serve

from .conftest import Client

pytestmark = pytest.mark.slow

PATH = "/api/v1/workloads/trainings"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": None}, "name is required"),
        ({"name": "Not_A_Label"}, "invalid name"),
        ({"name": "x" * 64}, "invalid name"),
        ({"name": "1starts-with-digit"}, "invalid name"),
        ({"projectId": None}, "projectId is required"),
        ({"projectId": "999"}, "project 999 does not exist"),
        ({"clusterId": None}, "clusterId is required"),
        ({"clusterId": "nowhere"}, "cluster nowhere does not exist"),
        ({"spec": None}, "spec is required"),
        ({"spec.image": None}, "image is required"),
        ({"spec.command": ["a", "list"]}, "command must be a non-empty string"),
        ({"spec.args": ["a", "list"]}, "args must be a non-empty string"),
        ({"spec.priorityClass": "urgent"}, "priorityClass 'urgent' does not exist"),
        ({"spec.backoffLimit": -1}, "backoffLimit must be an integer"),
        ({"spec.terminationGracePeriodSeconds": "30s"}, "terminationGracePeriodSeconds must be"),
        ({"spec.environmentVariables": {"A": "1"}}, "environmentVariables must be a list"),
        ({"spec.environmentVariables": [{"value": "1"}]}, "name is required"),
        ({"spec.environmentVariables": [{"name": "A", "value": 1}]}, "value must be a string"),
        ({"spec.storage": []}, None),
        ({"spec.storage": ["x"]}, "storage must be an object"),
        ({"spec.compute": {"gpuDevicesRequest": -1}}, "gpuDevicesRequest must be"),
        ({"spec.compute": {"gpuDevicesRequest": 1.5}}, "gpuDevicesRequest must be"),
        (
            {"spec.compute": {"gpuRequestType": "portion", "gpuPortionRequest": 1.5}},
            "1.5 is not in (0, 1]",
        ),
        (
            {"spec.compute": {"gpuRequestType": "portion", "gpuPortionRequest": 0}},
            "0 is not in (0, 1]",
        ),
        (
            {
                "spec.compute": {
                    "gpuDevicesRequest": 2,
                    "gpuRequestType": "portion",
                    "gpuPortionRequest": 0.5,
                }
            },
            "more than one device",
        ),
        ({"spec.compute": {"gpuPortionRequest": 0.5}}, "needs gpuRequestType=portion"),
        (
            {"spec.compute": {"gpuRequestType": "memory", "gpuMemoryRequest": "lots"}},
            "is not a quantity",
        ),
        ({"spec.compute": {"gpuRequestType": "migProfile"}}, "neither portion nor memory"),
    ],
)
def test_create_is_checked(
    stepped: Emulator, steps: Client, changes: dict[str, Any], complaint: str | None
) -> None:
    body = steps.body("checked")
    for key, value in changes.items():
        target = body["spec"] if key.startswith("spec.") else body
        target[key.removeprefix("spec.")] = value
    answer = steps.post(PATH, body)
    assert answer.status_code == (202 if complaint is None else 400), answer.text
    assert {"code", "message", "details"} <= set(answer.json()) or complaint is None
    assert (complaint or "checked") in answer.text
    assert len(stepped.workloads_named("")) == (complaint is None)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"distributedFramework": "Horovod"}, "distributedFramework 'Horovod'"),
        ({"numWorkers": 0}, "numWorkers 0"),
        ({"numWorkers": 10**9}, "must be an integer in 1..1000"),
    ],
)
def test_distributed_is_checked(steps: Client, changes: dict[str, Any], complaint: str) -> None:
    body = steps.body("gang", distributedFramework="PyTorch", numWorkers=2) | {}
    body["spec"] |= changes
    assert complaint in steps.post("/api/v1/workloads/distributed", body).json()["message"]


@pytest.mark.parametrize(
    ("master", "complaint"),
    [
        ("x", "masterSpec must be an object"),
        ({"compute": {"gpuDevicesRequest": "x"}}, "gpuDevicesRequest must be"),
    ],
)
def test_master_is_checked(steps: Client, master: Any, complaint: str) -> None:
    body = steps.body("gang", distributedFramework="PyTorch", numWorkers=2) | {"masterSpec": master}
    assert complaint in steps.post("/api/v1/workloads/distributed", body).json()["message"]


def test_two_kinds_of_master_exclude_each_other(steps: Client) -> None:
    body = steps.body("gang", distributedFramework="PyTorch", numWorkers=2)
    answer = steps.post(
        "/api/v1/workloads/distributed", body | {"masterSpec": {}, "masterSpecSameAsWorker": True}
    )
    assert "mutually exclusive" in answer.json()["message"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b'"x"', b"", b"\xff"])
def test_body_that_is_no_object_is_refused(steps: Client, content: bytes) -> None:
    answer = steps.http.post(PATH, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_name_is_free_again_after_deletion(stepped: Emulator, steps: Client) -> None:
    first = steps.create("again")
    assert steps.post(PATH, steps.body("again")).status_code == 400
    assert steps.post(PATH, steps.body("again", project="team-b")).status_code == 202
    steps.http.delete(f"{PATH}/{first}")
    stepped.advance(1)
    assert steps.create("again") != first


def test_kinds_have_their_own_endpoints(steps: Client) -> None:
    created = steps.create("single")
    assert steps.http.get(f"/api/v1/workloads/distributed/{created}").status_code == 404


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = (
    "image",
    "command",
    "args",
    "environmentVariables",
    "compute",
    "storage",
    "priorityClass",
    "preemptibility",
)
MORE = (
    "backoffLimit",
    "nodePools",
    "workingDir",
    "terminationGracePeriodSeconds",
    "restartPolicy",
    "labels",
)
COMPUTE = (
    "gpuDevicesRequest",
    "gpuRequestType",
    "gpuPortionRequest",
    "gpuMemoryRequest",
    "cpuCoreRequest",
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    spec=st.dictionaries(st.sampled_from(KEYS + MORE), anything, max_size=5),
    compute=st.dictionaries(st.sampled_from(COMPUTE), anything, max_size=3),
)
def test_no_spec_brings_it_down(
    fuzzed: Client, spec: dict[str, Any], compute: dict[str, Any]
) -> None:
    body = fuzzed.body("fuzz") | {"useGivenNameAsPrefix": True}
    body["spec"] |= {"compute": compute} | spec
    answer = fuzzed.post(PATH, body)
    assert answer.status_code in (202, 400), answer.text
    fuzzed.emulator.advance(100)
    assert fuzzed.http.get("/api/v1/workloads", params={"limit": 500}).status_code == 200


@pytest.fixture(scope="module")
def fuzzed() -> Any:
    with serve(EmulatorSettings(clock=SteppedClock())) as emulator:
        yield Client(emulator)

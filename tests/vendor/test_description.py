"""
Schemathesis against the emulator over a real socket, by what the vendor's client says of the API.

Each call is made with many generated arguments. Its reply must have a status, a type of content and
a body that the description knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import FlakyFailure
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from airflow_runai.emulator import Emulator, EmulatorSettings, Scenario, SteppedClock, serve
from airflow_runai.emulator.application import application
from tests.emulator.conftest import Client
from tests.vendor.description import document, sent
from tests.vendor.operations import OPERATIONS, Operation

pytestmark = pytest.mark.slow
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
NOBODY = "00000000-0000-0000-0000-000000000000"
BY_NAME = {operation.name: operation for operation in OPERATIONS}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    settings = EmulatorSettings(
        clock=SteppedClock(),
        scenarios={"endless": Scenario(run_seconds=None)},
        policy_max_gpus=8,
        projects=("team-a:2", "team-b:2", "capped:1,limit=2,weight=0.5"),
    )
    with serve(settings) as running:
        yield running


@pytest.fixture(scope="module")
def values(emulator: Emulator) -> dict[str, list[str]]:
    """Workloads in many phases, and what else a call can name."""
    client = Client(emulator)
    short = client.create("short", environmentVariables=[{"name": "A", "value": "1"}])
    emulator.advance(100)
    moved, stopped = client.create("endless-moved"), client.create("endless-stopped")
    gang = client.distributed("endless-gang", numWorkers=2, masterSpecSameAsWorker=True)
    emulator.advance(10)
    emulator.preempt("endless-moved")
    client.post(f"/api/v1/workloads/trainings/{stopped}/suspend")
    emulator.advance(10)
    waiting = client.create("endless-waiting", project="capped", gpus=3)
    gone = client.create("gone")
    emulator.advance(1)
    client.http.delete(f"/api/v1/workloads/trainings/{gone}")
    emulator.advance(10)
    return {
        "workloadId": [short, moved, stopped, gang, waiting, gone, NOBODY],
        "projectId": [*(project.id for project in emulator.world.projects), "9"],
        "clusterId": [client.cluster_id, NOBODY],
    }


def play(
    emulator: Emulator, operation: Operation, values: dict[str, list[str]], examples: int
) -> None:
    """Make a call so many times; raise what is found."""
    call = sent(operation)
    schema = schemathesis.openapi.from_dict(document(values))
    token = Client(emulator).http.headers["Authorization"]

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(schema[call.path][call.method].as_strategy())
    def answered_as_described(case: Any) -> None:
        case.call_and_validate(
            base_url=emulator.url, headers={"Authorization": token}, checks=CHECKS
        )

    try:
        answered_as_described()
    except FlakyFailure as found:
        if not any(isinstance(one, SystemError) for one in found.exceptions):
            raise
        # Python before 3.11.8 counts the depth of all threads' syntax trees together (gh-106905),
        # and Hypothesis parses lambdas.
        answered_as_described()


@pytest.mark.parametrize("name", BY_NAME)
def test_a_call_is_answered_as_the_vendor_describes(
    emulator: Emulator, values: dict[str, list[str]], name: str
) -> None:
    before = len(emulator.workloads_named(""))
    creates = name.startswith("create")
    play(emulator, BY_NAME[name], values, examples=40 if creates else 12)
    # Not only refusals are compared.
    assert (len(emulator.workloads_named("")) > before) == creates


def test_an_answer_that_differs_is_found(emulator: Emulator, values: dict[str, list[str]]) -> None:
    emulator.faults.add("missing_fields", missing=["category"], times=None)
    with pytest.raises(FailureGroup) as found:
        play(emulator, BY_NAME["get_workload"], values, examples=5)
    emulator.faults.clear()
    assert '"category" is a required property' in str(found.value.exceptions)


def test_every_call_that_the_emulator_serves_is_described(emulator: Emulator) -> None:
    described = {
        (method.upper(), re.sub(r"{\w+}", "{id}", path))
        for path, methods in document()["paths"].items()
        for method in methods
    }
    routes = [route for route in application(emulator.plane).routes if isinstance(route, Route)]
    served = {
        (method, route.path)
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        if route.path.startswith("/api/")
    }
    # The client sends nothing of the newer token call.
    assert served - described == {("POST", "/api/v2/token")}
    assert described <= served


@pytest.mark.qualify
@pytest.mark.parametrize("name", BY_NAME)
def test_a_call_is_answered_as_the_vendor_describes_many_times(
    emulator: Emulator, values: dict[str, list[str]], name: str
) -> None:
    play(emulator, BY_NAME[name], values, examples=200)

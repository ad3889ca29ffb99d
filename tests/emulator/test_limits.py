"""Policies and GPUs of the nodes, as the vendor's own client asks for them and reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from runai import models
from runai.exceptions import BadRequestException, NotFoundException
from runai.runai_client import RunaiClient

from airflow_runai.emulator import Emulator, SteppedClock, serve
from tests.emulator.test_vendor_client import SETTINGS, connect


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(replace(SETTINGS, clock=SteppedClock())) as running:
        yield running


@pytest.fixture
def runai(emulator: Emulator) -> RunaiClient:
    return connect(emulator)


def test_policy_of_a_project_is_told_with_its_one_rule(
    runai: RunaiClient, emulator: Emulator
) -> None:
    project = emulator.world.projects[0]
    single = runai.policies.policy.get_training_policy_v2(
        scope="project", project_id=project.id
    ).data
    assert single["effective"]["rules"]["compute"]["gpuDevicesRequest"]["max"] == 8
    assert models.TrainingPolicyV2.from_dict(single) is not None
    several = runai.policies.policy.get_distributed_policy_v2(
        scope="project", project_id=project.id
    ).data
    assert several["effective"]["rules"]["worker"]["compute"]["gpuDevicesRequest"]["max"] == 8
    assert models.DistributedPolicyV2.from_dict(several) is not None


def test_policy_of_nothing_is_refused(runai: RunaiClient) -> None:
    with pytest.raises(BadRequestException):
        runai.policies.policy.get_training_policy_v2(scope="galaxy")
    with pytest.raises(NotFoundException):
        runai.policies.policy.get_training_policy_v2(scope="project", project_id="0")


def test_gpus_of_the_nodes_are_counted(runai: RunaiClient, emulator: Emulator) -> None:
    project = emulator.world.projects[0]

    def count(what: str) -> str:
        telemetry = runai.organizations.nodes.get_node_telemetry(
            what, cluster_id=project.cluster_id
        ).data
        assert models.TelemetryResponse.from_dict(telemetry) is not None
        return str(telemetry["values"][0]["value"])

    assert (count("TOTAL_GPUS"), count("FREE_GPUS")) == ("4", "4")
    spec = {"image": "x:1", "compute": {"gpuDevicesRequest": 1}}
    body = {
        "name": "endless",
        "projectId": project.id,
        "clusterId": project.cluster_id,
        "spec": spec,
    }
    runai.workloads.trainings.create_training1(body)
    emulator.advance(30)
    assert (count("FREE_GPUS"), count("ALLOCATED_GPUS")) == ("3", "1")
    with pytest.raises(BadRequestException):
        count("PHASE_OF_THE_MOON")

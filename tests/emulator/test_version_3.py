"""What Run:ai 3.0 changes, as the emulator shows it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, Scenario, SteppedClock, serve

from .conftest import Client

PYTORCH = {"distributedFramework": "PyTorch", "numWorkers": 3}


def at(version: str) -> EmulatorSettings:
    scenarios = {"endless": Scenario(run_seconds=None)}
    return EmulatorSettings(
        clock=SteppedClock(), control_plane_version=version, scenarios=scenarios
    )


@pytest.mark.parametrize(("version", "status"), [("2.23", 202), ("2.26", 400), ("3.0", 202)])
def test_semi_preemptible_is_new(version: str, status: int) -> None:
    with serve(at(version)) as emulator:
        client = Client(emulator)
        body = client.body("endless", preemptibility="semi-preemptible")
        answer = client.post("/api/v1/workloads/trainings", body)
        assert answer.status_code == status
        if status == 400:
            assert "one of preemptible, non-preemptible" in answer.json()["message"]


def test_another_preemptibility_is_refused(steps: Client) -> None:
    answer = steps.post("/api/v1/workloads/trainings", steps.body("x", preemptibility="half"))
    assert (answer.status_code, answer.json()["details"]) == (400, "spec.preemptibility")


@pytest.mark.parametrize(("least", "phase"), [(None, "Pending"), (3, "Pending"), (1, "Running")])
def test_semi_preemptible_pods_up_to_the_minimum_stay_within_the_quota(
    least: int | None, phase: str
) -> None:
    with serve(at("3.0")) as emulator:
        client = Client(emulator)
        spec: dict[str, Any] = PYTORCH | {"preemptibility": "semi-preemptible"}
        if least is not None:
            spec["minReplicas"] = least
        created = client.distributed("endless", **spec)
        emulator.advance(10)
        found = client.workload(created)
        assert found["phase"] == phase
        waits = [one["phaseReason"] for one in found["pendingSchedulingMessages"]]
        assert waits == (["NonPreemptibleOverQuota"] if phase == "Pending" else [])


def test_what_is_from_before_the_upgrade_accepts_and_does_nothing(
    stepped: Emulator, steps: Client
) -> None:
    old, new = steps.create("endless-old"), steps.create("endless-new")
    stopped = steps.create("endless-old-stopped")
    stepped.advance(10)
    steps.post(f"/api/v1/workloads/trainings/{stopped}/suspend")
    stepped.advance(10)
    stepped.faults.add("from_before_3_0", name="endless-old*", times=None)
    for action, ids in (("suspend", [old, new]), ("resume", [stopped])):
        for each in ids:
            path = f"/api/v1/workloads/trainings/{each}/{action}"
            assert steps.post(path).status_code == 202
    batch = {"ids": [old], "action": "suspend"}
    assert steps.post("/api/v1/workloads/batch", batch).json()["succeeded"] == [old]
    stepped.advance(10)
    assert [steps.phase(each) for each in (old, new, stopped)] == ["Running", "Stopped", "Stopped"]
    assert steps.http.delete(f"/api/v1/workloads/trainings/{old}").status_code == 202
    stepped.advance(1)
    assert steps.http.get(f"/api/v1/workloads/{old}").status_code == 404


def test_a_resumed_workload_may_hang_and_can_be_deleted(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless")
    stepped.advance(10)
    path = f"/api/v1/workloads/trainings/{created}"
    steps.post(f"{path}/suspend")
    stepped.advance(10)
    stepped.faults.add("stuck_resuming")
    steps.post(f"{path}/resume")
    stepped.advance(86400)
    assert steps.phase(created) == "Resuming"
    assert steps.http.delete(path).status_code == 202
    stepped.advance(1)
    assert steps.http.get(f"/api/v1/workloads/{created}").status_code == 404


def test_a_dry_run_is_known_to_manifests_only_so_it_would_create_a_training() -> None:
    with serve(at("3.0")) as emulator:
        client = Client(emulator)
        body = client.body("endless")
        assert client.post("/api/v1/workloads/trainings?dryRun=true", body).status_code == 202
        assert len(emulator.workloads_named("endless")) == 1
        assert client.post("/api/v2/workloads?dryRun=true", {}).status_code == 404

"""Where the vendor is silent: what the emulator does, and how a test can have it otherwise."""

from __future__ import annotations

import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, SteppedClock, serve

from .conftest import Client


def delete(client: Client, workload_id: str) -> None:
    assert client.http.delete(f"/api/v1/workloads/trainings/{workload_id}").status_code == 202


@pytest.mark.parametrize(("version", "filters"), [("2.18", 400), ("2.20", 400), ("2.21", 200)])
def test_the_time_of_the_phase_is_always_told_and_a_filter_from_2_21_on(
    version: str, filters: int
) -> None:
    # The vendor's descriptions of 2.18 to 2.24 all require the field in a list's items.
    with serve(EmulatorSettings(clock=SteppedClock(), control_plane_version=version)) as emulator:
        client = Client(emulator)
        assert client.post("/api/v1/workloads/trainings", client.body("one")).is_success
        (item,) = client.get("/api/v1/workloads")["workloads"]
        assert item["phaseUpdatedAt"] == item["createdAt"]
        query = {"filterBy": "phaseUpdatedAt>=2026-01-01T00:00:00Z"}
        assert client.http.get("/api/v1/workloads", params=query).status_code == filters


def test_a_name_is_taken_while_its_workload_is_being_deleted_and_free_afterwards(
    stepped: Emulator, steps: Client
) -> None:
    created = steps.create("endless")
    stepped.advance(10)
    delete(steps, created)
    assert steps.phase(created) == "Deleting"
    again = steps.body("endless")
    assert steps.post("/api/v1/workloads/trainings", again).status_code == 400
    stepped.advance(1)
    assert steps.post("/api/v1/workloads/trainings", again).status_code == 202


@pytest.mark.parametrize("path", ["", "/history", "/events", "/pods"])
def test_a_deleted_workload_is_not_found_by_its_id_unless_a_fault_shows_it(
    stepped: Emulator, steps: Client, path: str
) -> None:
    created = steps.create("endless")
    stepped.advance(10)
    delete(steps, created)
    stepped.advance(1)
    assert steps.http.get(f"/api/v1/workloads/{created}{path}").status_code == 404
    stepped.faults.add("show_deleted", times=None)
    shown = steps.get(f"/api/v1/workloads/{created}{path}")
    assert shown.get("deletedAt", "listed")
    assert steps.get("/api/v1/workloads") == {"workloads": []}

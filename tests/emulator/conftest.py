"""An emulator, and a small plain client: no code of the provider, no code of the vendor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import httpx
import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, Scenario, SteppedClock, serve
from tests.support.waiting import wait_until


class Client:
    """A plain HTTP client of an emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.http = httpx.Client(base_url=emulator.url, timeout=None)
        self.log_in()

    @cached_property
    def cluster_id(self) -> str:
        """The only cluster; asked for when it is needed, so that a client can outlive its token."""
        return str(self.http.get("/api/v1/clusters").json()[0]["uuid"])

    def log_in(self) -> None:
        body = {
            "grantType": "client_credentials",
            "clientId": self.emulator.client_id,
            "clientSecret": self.emulator.client_secret,
        }
        token = self.http.post("/api/v1/token", json=body).json()["accessToken"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def project_id(self, name: str) -> str:
        found = self.get("/api/v1/org-unit/projects", filterBy=f"name=={name}")["projects"]
        return str(found[0]["id"])

    def body(
        self, name: str, project: str = "team-a", gpus: int = 1, **spec: Any
    ) -> dict[str, Any]:
        spec = {
            "image": "any",
            "command": "sleep 100",
            "compute": {"gpuDevicesRequest": gpus},
            **spec,
        }
        project_id = self.project_id(project)
        return {"name": name, "projectId": project_id, "clusterId": self.cluster_id, "spec": spec}

    def create(self, name: str, project: str = "team-a", gpus: int = 1, **spec: Any) -> str:
        answer = self.http.post(
            "/api/v1/workloads/trainings", json=self.body(name, project, gpus, **spec)
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["workloadId"])

    def distributed(self, name: str, project: str = "team-a", gpus: int = 1, **spec: Any) -> str:
        body = self.body(name, project, gpus, **{"distributedFramework": "PyTorch", **spec})
        for key in ("masterSpec", "masterSpecSameAsWorker"):
            if key in body["spec"]:
                body[key] = body["spec"].pop(key)
        answer = self.http.post("/api/v1/workloads/distributed", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["workloadId"])

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.http.post(path, json=body)

    def workload(self, workload_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/workloads/{workload_id}")
        return found

    def phase(self, workload_id: str) -> str:
        return str(self.workload(workload_id)["phase"])

    def phases(self, workload_id: str) -> list[str]:
        """The phases of the history, oldest first."""
        return [phase for phase, _ in self.history(workload_id)]

    def history(self, workload_id: str) -> list[tuple[str, str]]:
        """Phase and message, oldest first."""
        records = self.get(f"/api/v1/workloads/{workload_id}/history", limit=500)["records"]
        updates = [
            record["spec"]["phaseUpdate"]
            for record in reversed(records)
            if "phaseUpdate" in record["spec"]
        ]
        return [(update["phase"], update["phaseMessage"]) for update in updates]

    def wait_for(self, workload_id: str, *phases: str) -> dict[str, Any]:
        """Wait until a workload is in one of these phases."""
        found: dict[str, Any] = wait_until(
            lambda: self._if_in(workload_id, phases), f"{workload_id} is {phases}"
        )
        return found

    def _if_in(self, workload_id: str, phases: tuple[str, ...]) -> dict[str, Any] | None:
        found = self.workload(workload_id)
        return found if found["phase"] in phases else None


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Two nodes with two GPUs, projects team-a and team-b with a quota of two, real processes."""
    with serve(EmulatorSettings()) as running:
        yield running


@pytest.fixture
def client(emulator: Emulator) -> Client:
    """A client that is logged in."""
    return Client(emulator)


@pytest.fixture
def stepped() -> Iterator[Emulator]:
    """
    The same without processes, with a stepped clock.

    Workloads run for a minute.
    """
    settings = EmulatorSettings(
        clock=SteppedClock(), scenarios={"endless": Scenario(run_seconds=None)}
    )
    with serve(settings) as running:
        yield running


@pytest.fixture
def steps(stepped: Emulator) -> Client:
    """A client that is logged in to the stepped emulator."""
    return Client(stepped)

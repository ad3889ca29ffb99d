"""
An embedded Run:ai for one group of tests, and the connection by which Airflow finds it.

Each group has its own, because faults hit everybody who talks to it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from airflow_runai.emulator import Emulator, EmulatorSettings, serve
from airflow_runai.emulator.records import EmulatedWorkload
from tests.end_to_end.rest import Rest, Run
from tests.support.waiting import wait_until

#: Starts a training; see the fixture of this type.
Start = Callable[..., "tuple[Site, Run]"]

CLIENT_ID = "end-to-end-client"
CLIENT_SECRET = "end-to-end-secret-3f9d1c"
GPUS: dict[str, Any] = {"nodes": 8, "gpus_per_node": 1, "projects": ("team-a:8", "team-b:0")}
WAIT = """#!/bin/sh
trap 'exit 143' TERM
echo "incarnation on $NODE_NAME"
until [ -e finish ]; do sleep 0.2; done
"""


class Site:
    """
    A Run:ai and its shared storage.

    :param shared: what containers see as ``/shared``.
    """

    def __init__(self, emulator: Emulator, shared: Path) -> None:
        self.emulator = emulator
        self.shared = shared

    def connection(self) -> dict[str, Any]:
        """The fields of an Airflow connection; the time-out (seconds) exceeds every fault of the tests."""
        extra = {"project": "team-a", "timeout": 60}
        login = {"login": CLIENT_ID, "password": CLIENT_SECRET}
        return {
            "conn_type": "runai",
            "host": self.emulator.url,
            **login,
            "extra": json.dumps(extra),
        }

    def finish(self) -> None:
        """Let every training that waits end well."""
        (self.shared / "finish").touch()

    def workloads(self, run: Run) -> list[EmulatedWorkload]:
        """All that was ever made for a DAG run, deleted ones too, oldest first."""
        return [
            w
            for w in self.emulator.workloads_named("")
            if _variable(w, "AIRFLOW_CTX_DAG_RUN_ID") == run.run_id
        ]

    def only_workload(self, run: Run) -> EmulatedWorkload:
        """The one workload of a run; that there is exactly one is what most tests are about."""
        found = self.workloads(run)
        assert len(found) == 1, [(w.name, w.phase) for w in found]
        return found[0]

    def phases(self, workload: EmulatedWorkload) -> list[str]:
        return [record.phase for record in workload.history if record.phase]

    def creates(self) -> list[int]:
        """The status of each create so far; 0 where the answer was lost on purpose."""
        path = "/api/v1/workloads/trainings"
        return [
            seen.status
            for seen in self.emulator.requests
            if (seen.method, seen.path) == ("POST", path)
        ]

    def runs_deferred(self, run: Run, state: str = "deferred") -> EmulatedWorkload:
        """
        Wait until a training runs, its task is deferred and a triggerer has taken up the wait; return the workload.

        Before the last, nobody is there to hear what a user does: Airflow then drops the trigger
        without a word.

        :param state: another one than ``deferred`` for tasks that wait in their worker.
        """
        wait_until(lambda: run.task()["state"] == state, f"{run.run_id} is {state}")
        run.is_watched()
        return wait_until(lambda: self._running(run), f"{run.run_id} runs")

    @contextmanager
    def held(self, run: Run, words: str) -> Iterator[EmulatedWorkload]:
        """
        Let a training stand still from when it says something until the block is left: Airflow may be slower than it.

        What it is told meanwhile it hears afterwards.
        """
        training = wait_until(lambda: self._running(run), f"{run.run_id} runs")
        wait_until(
            lambda: words in self.emulator.log(training.name), f"{training.name} says {words!r}"
        )
        plane = self.emulator.plane
        leaders = plane.processes.leaders(training) if plane.processes else []
        for pid in leaders:
            os.killpg(pid, signal.SIGSTOP)
        try:
            yield training
        finally:
            for pid in leaders:
                os.killpg(pid, signal.SIGCONT)

    def _running(self, run: Run) -> EmulatedWorkload | None:
        return next((w for w in self.workloads(run) if w.phase == "Running"), None)

    def preempt(self, workload: EmulatedWorkload) -> None:
        """Let the platform preempt a running workload, and wait until it runs again."""
        before = workload.incarnation
        assert self.emulator.preempt(workload.name)
        wait_until(
            lambda: workload.incarnation > before and workload.phase == "Running", "it is resumed"
        )

    def is_hit(self, what: str) -> None:
        """Wait until all planned faults have happened."""
        wait_until(lambda: not self.emulator.faults.planned(), what)

    def submit(self, name: str, project: str, gpus: int) -> str:
        """Submit something beside Airflow, as a colleague does; return its id."""
        with httpx.Client(base_url=self.emulator.url, headers=self._login()) as http:
            found = http.get(
                "/api/v1/org-unit/projects", params={"filterBy": f"name=={project}"}
            ).json()["projects"][0]
            spec = {"image": "any", "command": "sleep 600", "compute": {"gpuDevicesRequest": gpus}}
            body = {
                "name": name,
                "projectId": found["id"],
                "clusterId": found["clusterId"],
                "spec": spec,
            }
            answer = http.post("/api/v1/workloads/trainings", json=body)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["workloadId"])

    def delete(self, workload_id: str) -> None:
        with httpx.Client(base_url=self.emulator.url, headers=self._login()) as http:
            assert http.delete(f"/api/v1/workloads/trainings/{workload_id}").is_success

    def _login(self) -> dict[str, str]:
        body = {
            "grantType": "client_credentials",
            "clientId": CLIENT_ID,
            "clientSecret": CLIENT_SECRET,
        }
        answer = httpx.post(f"{self.emulator.url}/api/v1/token", json=body)
        return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


def _variable(workload: EmulatedWorkload, name: str) -> str | None:
    listed = workload.spec.get("environmentVariables") or []
    return next((str(entry.get("value")) for entry in listed if entry.get("name") == name), None)


@contextmanager
def site(shared: Path, **settings: Any) -> Iterator[Site]:
    """Run an embedded Run:ai whose claim ``shared`` is the directory ``shared``."""
    shared.mkdir(parents=True)
    script = shared / "wait.sh"
    script.write_text(WAIT)
    script.chmod(0o755)
    login: dict[str, Any] = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    with serve(
        EmulatorSettings(**{**GPUS, **settings}, **login, volumes={"shared": shared})
    ) as emulator:
        yield Site(emulator, shared)


def begin(rest: Rest, here: Site, dag_id: str, **conf: Any) -> Run:
    """Make a connection to a site and start a run of one of the DAGs in ``dags/waiting.py`` that uses it."""
    connection_id = f"runai_{here.emulator.port}"
    rest.post("/connections", {"connection_id": connection_id, **here.connection()})
    return Run.start(rest, dag_id, connection=connection_id, **conf)

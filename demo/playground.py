"""
A playground: the embedded Run:ai and a real Airflow, started and stopped together.

All files are under one directory (Airflow's home, the shared storage, the emulator's state, all
logs), so that removing it leaves no trace. ``make demo`` uses free ports and its own directory,
``make up`` ports that you choose.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from airflow_runai.backends.settings import Settings
from airflow_runai.emulator.settings import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from demo.process_groups import group_lives, signal_group

REPOSITORY = Path(__file__).resolve().parent.parent
#: Seconds until a wait fails: enough for a machine that is busy with other work. A process that has
#: ended is noticed at once.
PATIENCE = 900.0
#: Slow enough to be preempted in the middle, fast enough to watch.
SECONDS_PER_EPOCH = 0.8


class NotReady(RuntimeError):
    """Something did not start, or did not happen, in time."""


@dataclass
class Playground:
    """
    Directories, ports and processes.

    :param root: directory for everything; made if missing.
    :param airflow_port: port of Airflow's UI and API; 0 takes a free one.
    :param runai_port: port of the embedded Run:ai; 0 takes a free one.
    :param database: SQLAlchemy address of Airflow's database; empty for Airflow's own SQLite file.
    :param shows_connection: store the connection where Airflow's page shows it. A triggerer that
        looks one up for the first time hears nothing else until its API is loaded: half a minute
        on a busy machine, in which the demonstration would be over. So that has it in the
        environment.
    """

    root: Path
    airflow_port: int = 0
    runai_port: int = 0
    processes: dict[str, int] = field(default_factory=dict)
    database: str = ""
    shows_connection: bool = False

    def __post_init__(self) -> None:
        self.airflow_port = self.airflow_port or free_port()
        self.runai_port = self.runai_port or free_port()

    @property
    def shared(self) -> Path:
        """The directory that containers see as ``/shared``."""
        return self.root / "shared"

    @property
    def airflow_url(self) -> str:
        """Airflow's UI and API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def runai_url(self) -> str:
        """The embedded Run:ai's API and page."""
        return f"http://127.0.0.1:{self.runai_port}"

    @property
    def settings(self) -> Settings:
        """How to reach the embedded Run:ai."""
        return Settings(self.runai_url, DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, project="team-a")

    def start(self) -> None:
        """
        Start both; return when the embedded Run:ai answers.

        Airflow takes longer: see :meth:`wait_for_airflow`.

        :raises NotReady: if a port is in use; its server would be mistaken for ours.
        """
        for name, port in (
            ("Airflow", self.airflow_port),
            ("the embedded Run:ai", self.runai_port),
        ):
            if _is_in_use(port):
                remedy = "stop the program that listens there, then try again"
                raise NotReady(f"port {port} for {name} is in use; {remedy}")
        self._lay_out_shared_storage()
        self._launch("runai", _emulator_command(self), os.environ)
        standalone = [sys.executable, "-m", "airflow", "standalone"]
        self._launch("airflow", standalone, self._airflow_environment())
        until(
            "the embedded Run:ai to answer",
            lambda: self._answers(f"{self.runai_url}/api/v1/clusters"),
        )

    def wait_for_airflow(self, dag_id: str) -> None:
        """
        Block until scheduler, triggerer and DAG processor are healthy and the DAG is parsed.

        Airflow has the connection then.
        """
        until("Airflow to be healthy", self._airflow_is_healthy)
        with self.airflow() as api:
            if self.shows_connection:
                self._store_connection(api)
            until(
                f"DAG {dag_id} to be parsed", lambda: api.get(f"dags/{dag_id}").status_code == 200
            )

    def airflow(self) -> httpx.Client:
        """Return a client of Airflow's REST API, where all users are admins (loopback only)."""
        token = httpx.get(f"{self.airflow_url}/auth/token", timeout=PATIENCE).json()["access_token"]
        return httpx.Client(
            base_url=f"{self.airflow_url}/api/v2/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )

    def runai(self) -> httpx.Client:
        """Return a client of the embedded Run:ai."""
        login = {
            "grantType": "client_credentials",
            "clientId": DEFAULT_CLIENT_ID,
            "clientSecret": DEFAULT_CLIENT_SECRET,
        }
        reply = httpx.post(f"{self.runai_url}/api/v1/token", json=login).raise_for_status()
        token = reply.json()["accessToken"]
        return httpx.Client(
            base_url=f"{self.runai_url}/", headers={"Authorization": f"Bearer {token}"}
        )

    def stop(self) -> None:
        """Stop both with all their children; without these, orphans would stay."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes.values():
                signal_group(pid, sent)
            deadline = time.monotonic() + 12
            while self.lives and time.monotonic() < deadline:
                time.sleep(0.1)
        self.processes.clear()

    @property
    def lives(self) -> bool:
        """Whether one of the processes, or a child of one, is alive."""
        return any(group_lives(pid) for pid in self.processes.values())

    def tail(self, name: str, lines: int = 25) -> str:
        """Return the end of a process's log."""
        log = self.root / f"{name}.log"
        if not log.exists():
            return "(no log)"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

    def _launch(
        self, name: str, command: list[str], environment: dict[str, str] | os._Environ[str]
    ) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self.processes[name] = process.pid

    def _lay_out_shared_storage(self) -> None:
        """Copy the researcher's files to the shared storage, and once more for John."""
        files = [file for file in (REPOSITORY / "dags" / "digits").iterdir() if file.is_file()]
        files.append(REPOSITORY / "airflow_runai" / "training" / "preemptible.py")
        for folder in (self.shared / "code", self.shared / "john"):
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy2(file, folder)

    def _airflow_environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")
        }
        # `airflow standalone` starts its parts by the bare name of the command.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = inherited | {"PATH": path} | self.airflow_settings
        if not self.shows_connection:
            environment["AIRFLOW_CONN_RUNAI_DEFAULT"] = json.dumps(self._connection)
        if self.database:
            environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = self.database
        return environment

    def _store_connection(self, api: httpx.Client) -> None:
        """Write the connection to where the UI shows it; its port may have changed."""
        connection = {"connection_id": "runai_default", **self._connection}
        reply = api.post("connections", json=connection)
        if reply.status_code == httpx.codes.CONFLICT:
            reply = api.patch("connections/runai_default", json=connection)
        reply.raise_for_status()

    @property
    def _connection(self) -> dict[str, Any]:
        return {
            "conn_type": "runai",
            "host": "http://127.0.0.1",
            "port": self.runai_port,
            "login": DEFAULT_CLIENT_ID,
            "password": DEFAULT_CLIENT_SECRET,
            "extra": json.dumps({"project": "team-a"}),
        }

    @property
    def airflow_settings(self) -> dict[str, str]:
        """What makes a process one of this Airflow."""
        return {
            "AIRFLOW_HOME": str(self.root / "airflow"),
            "AIRFLOW_VAR_RUNAI_SHARED": str(self.shared),
            "AIRFLOW_VAR_DIGITS_SECONDS_PER_EPOCH": str(SECONDS_PER_EPOCH),
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.airflow_port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "10",
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "3",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__RUNAI__POLL_INTERVAL": "1",
            # By default 5: on a busy machine, a task then fails before it begins.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        }

    def _answers(self, url: str) -> bool:
        try:
            return httpx.get(url, timeout=2).status_code in (200, 401)
        except httpx.HTTPError:
            self._fail_if_dead()
            return False

    def _airflow_is_healthy(self) -> bool:
        try:
            health = httpx.get(f"{self.airflow_url}/api/v2/monitor/health", timeout=5).json()
        except (httpx.HTTPError, ValueError):
            self._fail_if_dead()
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def _fail_if_dead(self) -> None:
        for name, pid in self.processes.items():
            if not group_lives(pid):
                raise NotReady(f"{name} has ended; its log is {self.root / name}.log")


def _emulator_command(ground: Playground) -> list[str]:
    return [
        sys.executable,
        "-m",
        "airflow_runai.emulator",
        f"--port={ground.runai_port}",
        "--nodes=2",
        "--gpus-per-node=2",
        "--project=team-a:2",
        "--project=team-b:2",
        f"--state={ground.root / 'runai'}",
        f"--volume=shared={ground.shared}",
        f"--volume=/nfs/john={ground.shared / 'john'}",
    ]


def until(what: str, happened: Callable[[], bool]) -> None:
    """Poll until ``happened``; raise :class:`NotReady` naming ``what`` after :data:`PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise NotReady(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.2)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

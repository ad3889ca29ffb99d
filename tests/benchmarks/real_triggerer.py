"""
A real triggerer on PostgreSQL with a thousand deferred tasks: how fast they wait, and a storm.

``python -m tests.benchmarks.real_triggerer --waits 1000`` prints a table. Seconds on the wall hold
for a machine with nothing else to do; processor time and SQL statements hold for any.
"""

from __future__ import annotations

import argparse
import json
import ssl
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import psycopg2  # type: ignore[import-untyped]  # it ships no types

from tests.benchmarks.beside_stock import serving
from tests.benchmarks.waiting_figures import percentile
from tests.end_to_end.database import Database, postgres
from tests.end_to_end.installation import Airflow
from tests.support.waiting import wait_until

#: SQL statements a second that a triggerer with nothing to do sends at most, and seconds of that.
IDLE, REST = 40, 3.0
#: Seconds for which a storm and its consequences are watched.
STORM = 200.0


@dataclass(frozen=True)
class Figures:
    """
    What one run found.

    :param assigned: seconds from the first to the last trigger that the triggerer took.
    :param waiting: seconds from there until nobody asks for anything but news.
    :param cpu: processor seconds of supervisor and runner until then.
    :param statements: SQL, a waiter, until then.
    :param resumed: tasks of workloads that ended in a storm, resumed while it was watched.
    :param writes: timelines written in that time; a task that is resumed writes its last one.
    :param downloads: requests for logs.
    :param logs: of so many workloads the log was read before their pod had left.
    """

    waits: int
    assigned: float
    waiting: float
    cpu: float
    statements: float
    ended: int
    resumed: int
    resumed_p50: float
    resumed_p99: float
    writes: int
    downloads: int
    logs: int
    storm_cpu: float
    resident_mb: float


class Statements:
    """Counts what others say to the database, in its log; what it asks itself is not written there."""

    def __init__(self, database: Database) -> None:
        self._connection = psycopg2.connect(f"postgresql://{database.address}")
        self._connection.autocommit = True
        self._log = database.log.open("rb")
        self._counted = self._xcoms = 0
        with self._connection.cursor() as cursor:
            cursor.execute("ALTER SYSTEM SET log_statement = 'all'")
            cursor.execute("SELECT pg_reload_conf()")
            cursor.execute("SET log_statement = 'none'")

    def number(self, query: str) -> int:
        """Ask for a number."""
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return int(cursor.fetchone()[0])

    def count(self) -> int:
        """Count the statements so far."""
        for line in self._log:
            self._counted += b"LOG:  statement:" in line or b"LOG:  execute " in line
            self._xcoms += b"INSERT INTO xcom" in line
        return self._counted

    def xcoms(self) -> int:
        """Count the XComs that were written so far."""
        self.count()
        return self._xcoms


class Installation:
    """A triggerer, its database, and a control plane."""

    def __init__(self, airflow: Airflow, database: Database, server: Path) -> None:
        self.airflow, self._server = airflow, server
        self._host = f"https://127.0.0.1:{(server / 'port').read_text()}"
        self._statements = Statements(database)

    def ask(self, path: str) -> dict[str, int]:
        """Ask the control plane."""
        trusting = ssl.create_default_context(cafile=str(self._server / "ca.pem"))
        with urllib.request.urlopen(self._host + path, context=trusting) as answer:
            said: dict[str, int] = json.load(answer)
        return said

    def number(self, query: str) -> int:
        """Ask the database for a number."""
        return self._statements.number(query)

    def statements(self) -> int:
        """Count the SQL statements so far."""
        return self._statements.count()

    def xcoms(self) -> int:
        """Count the XComs that were written so far."""
        return self._statements.xcoms()

    def assigned(self) -> int:
        return self.number("SELECT count(*) FROM trigger WHERE triggerer_id IS NOT NULL")

    def others(self) -> int:
        """Count what was asked of the control plane but news."""
        asked = self.ask("/bench/requests")
        news = ("list", "delta", "logs")
        return sum(number for kind, number in asked.items() if kind not in news)

    def resumed(self) -> int:
        return self.number("SELECT count(*) FROM task_instance WHERE state = 'scheduled'")

    def processes(self) -> list[psutil.Process]:
        (triggerer,) = self.airflow.triggerers
        return [psutil.Process(number) for number in triggerer.processes()]

    def work(self) -> float:
        """Sum up the processor seconds of supervisor and runner."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())


def measure(waits: int, ends: int, get_logs: str = "off") -> Figures:
    """Start a triggerer for that many tasks, let it come to rest, and begin a storm."""
    with installation(waits + ends, get_logs) as here:
        here.airflow.run_triggerer("--capacity", str(waits + ends))
        wait_until(lambda: here.assigned() > 0, "the triggerer takes triggers")
        before, work, began = here.statements(), here.work(), time.monotonic()
        wait_until(lambda: here.assigned() == waits + ends, "all triggers are taken")
        assigned = time.monotonic() - began
        waiting, statements, spent = _at_rest(here)
        written = here.xcoms()
        storming = here.work()
        times = _storm(here, waits, ends)
        return Figures(
            waits=waits + ends,
            assigned=assigned,
            waiting=waiting - began,
            cpu=spent - work,
            statements=(statements - before) / (waits + ends),
            ended=ends,
            resumed=len(times),
            resumed_p50=percentile(times, 0.5),
            resumed_p99=percentile(times, 0.99),
            writes=here.xcoms() - written,
            downloads=here.ask("/bench/requests").get("download", 0),
            logs=here.ask("/bench/requests")["logs"],
            storm_cpu=here.work() - storming,
            resident_mb=sum(process.memory_info().rss for process in here.processes()) / 2**20,
        )


def _at_rest(here: Installation) -> tuple[float, int, float]:
    """Return the moment after which nothing happened but news, and what it had cost until then."""
    since = time.monotonic(), here.statements(), here.work()
    others = here.others()
    while True:
        time.sleep(0.5)
        now = time.monotonic(), here.statements(), here.work()
        seconds = now[0] - since[0]
        is_idle = now[1] - since[1] <= IDLE * max(seconds, 1.0) and here.others() == others
        if not is_idle or not here.ask("/bench/requests").get("list"):
            since, others = now, here.others()
        elif seconds >= REST:
            return since


def _storm(here: Installation, waits: int, ends: int) -> list[float]:
    """Return how many seconds after its end each task was resumed, the first ends first."""
    here.ask(f"/bench/storm?preempted={waits}&ends={ends}")
    began, times = time.monotonic(), list[float]()
    while time.monotonic() - began < STORM:
        time.sleep(0.2)
        moment = time.monotonic() - began
        fresh = here.resumed() - len(times)
        for number in range(len(times), len(times) + fresh):
            # Ends are spread over half a minute from 15 s on.
            times.append(moment - (15.0 + 30.0 * (number + 0.5) / ends))
    return times


@contextmanager
def installation(waits: int, get_logs: str) -> Iterator[Installation]:
    """Make a database with deferred tasks, and a control plane with their workloads."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(waits, delta=False))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(postgres())
        airflow = Airflow(home, database.address, _connection(server))
        stack.callback(airflow.stop)
        airflow.migrate()
        airflow.python("-m", "tests.benchmarks.seeding", str(waits), get_logs)
        yield Installation(airflow, database, server)


def _connection(server: Path) -> dict[str, str]:
    host = f"https://127.0.0.1:{(server / 'port').read_text()}"
    extra = {"project": "team-0", "ca_file": str(server / "ca.pem"), "cluster_url": host}
    known: dict[str, Any] = {"conn_type": "runai", "login": "bench", "password": "a-secret"}
    text = json.dumps({**known, "host": host, "extra": json.dumps(extra)})
    return {"AIRFLOW_CONN_RUNAI_DEFAULT": text}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=1000, help="tasks; all are preempted")
    parser.add_argument("--ends", type=int, default=50, help="further tasks, which end meanwhile")
    parser.add_argument("--get-logs", default="off", help="of all tasks: off, tail or follow")
    chosen = parser.parse_args()
    found = measure(chosen.waits, chosen.ends, chosen.get_logs)
    for field in fields(found):
        value = getattr(found, field.name)
        print(
            f"{field.name:12} {value:.1f}"
            if isinstance(value, float)
            else f"{field.name:12} {value}"
        )


if __name__ == "__main__":
    main()

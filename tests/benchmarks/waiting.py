"""
What waiting costs: the project's own triggers by the thousand, on a loop with a core of its own.

``python -m tests.benchmarks.waiting --scenario calm --waits 1000`` prints a table; without
``--scenario`` it plays all of them, each in a process of its own. Only what is foreign is played:
the control plane behind httpx, and Airflow's supervisor. The heap is that of a triggerer, because
collecting its garbage is what stalls a loop.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog

from tests.benchmarks import faulty_wire, supervisor, virtual_loop
from tests.benchmarks.faulty_server import Row, Server
from tests.benchmarks.waiting_figures import Figures, Start, Window, header, reset_peak, resident
from tests.benchmarks.waiting_scenarios import END, SCENARIOS, Scenario, at, spread
from tests.simulation.clock import BEGIN

ROOT = Path(__file__).parents[2]
#: Seconds after a fault in which its consequences are counted.
AFTERMATH = 60.0
#: Not a scenario: compares four runs of one.
MEMORY = "memory"


class Waiting:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, loop: virtual_loop.VirtualLoop) -> None:
        self.scenario, self.loop = scenario, loop
        self.server = _server(scenario, loop)
        self.wire = faulty_wire.Wire(loop, self.server, scenario.latency)
        self.airflow = supervisor.Supervisor(scenario.supervised)
        self.tasks: list[asyncio.Task[None]] = []
        self.ended: dict[str, float] = {}
        self.detected: dict[str, float] = {}
        self.outcomes: dict[str, str] = {}
        self.waited: list[Row] = []

    async def figures(self, sleeping: bool = False) -> Figures:
        """Start all waits, let them come to rest, and measure."""
        start = await self._begin(sleeping)
        window = await self._measure()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(1.0)  # what worked for them in the background comes to its end
        return Figures.of(self.scenario, start, window)

    async def _begin(self, sleeping: bool) -> Start:
        self.waited = _populate(self.server, self.scenario)
        gc.collect()
        reset_peak()
        memory, began = resident()["VmRSS"], self.loop.work()
        await self._start(sleeping)
        await asyncio.sleep(self.scenario.settle)
        requests, messages = len(self.server.requests), dict(self.airflow.messages)
        work = self.loop.work() - began
        # A process that has run for hours has long filed away what it started with.
        gc.collect()
        await asyncio.sleep(1)
        return Start(requests, work, messages, memory)

    async def _measure(self) -> Window:
        since = self.loop.time()
        self.server.faults = tuple(at(fault, since) for fault in self.scenario.faults)
        self._schedule(since)
        self.airflow.messages.clear()
        self.loop.take_lag()
        began, opened = self.loop.work(), self.wire.opened
        await asyncio.sleep(self.scenario.window)
        return Window(
            work=self.loop.work() - began,
            lag=self.loop.take_lag(),
            requests=self.server.counted(BEGIN + since, BEGIN + self.loop.time()),
            detection=[seen - self.ended[who] for who, seen in self.detected.items()],
            expected=len(self.ended),
            messages=dict(self.airflow.messages),
            faults=self._amplification(since),
            outcomes=list(self.outcomes.values()),
            opened=self.wire.opened - opened,
            memory=resident(),
        )

    async def _start(self, sleeping: bool) -> None:
        """Start the triggers as a triggerer does, one per turn of the loop."""
        for number, row in enumerate(self.waited):
            trigger = _sleeper() if sleeping else _trigger(self.scenario, row, number)
            self.tasks.append(asyncio.create_task(self._run(trigger, row.id)))
            await asyncio.sleep(0)

    async def _run(self, trigger: Any, who: str) -> None:
        async for event in trigger.run():
            if self.scenario.supervised:
                await self.airflow.turn(supervisor.TURN)
            if who in self.ended:
                self.detected[who] = self.loop.time()
            self.outcomes[who] = str(event.payload.get("status"))
            return

    def _schedule(self, since: float) -> None:
        for seconds, row, phase in self.scenario.script(self.waited):
            self.loop.call_at(since + seconds, self._enter, row, phase)

    def _enter(self, row: Row, phase: str) -> None:
        with self.loop.uncounted():
            self.server.enter(row, phase)
            if phase == END:
                self.ended[row.id] = self.loop.time()

    def _amplification(self, since: float) -> tuple[float, float] | None:
        """Compare the requests during a fault, and those after it, with as long a calm time."""
        if not self.scenario.faults or self.scenario.faults[0].since <= 0:
            return None
        fault = self.scenario.faults[0]
        begin = BEGIN + since
        counted = self.server.counted
        calm = counted(begin, begin + fault.since).total() / fault.since
        during = counted(begin + fault.since, begin + fault.until).total()
        after = counted(begin + fault.until, begin + fault.until + AFTERMATH).total()
        return during / (fault.until - fault.since) / calm, after / AFTERMATH / calm


def _server(scenario: Scenario, loop: virtual_loop.VirtualLoop) -> Server:
    server = Server(lambda: BEGIN + loop.time())
    if not scenario.delta:
        server.fields -= {"phaseUpdatedAt"}
    server.allowed, server.retry_after = scenario.allowed, scenario.retry_after
    return server


def _populate(server: Server, scenario: Scenario) -> list[Row]:
    """Make the workloads; those that are waited for lie among the strangers."""
    total = scenario.waits + scenario.strangers
    every = total // scenario.waits if scenario.waits else 1
    rows = [_row(number, scenario.projects) for number in range(total)]
    for row in rows:
        server.add(row)
    waited = rows[::every][: scenario.waits]
    for row in spread(waited, scenario.broken):
        row.is_broken = True
    return waited


def _row(number: int, projects: int) -> Row:
    identity = f"00000000-0000-4000-8000-{number:012x}"
    created = BEGIN - 7200.0 + number % 100
    past = tuple(
        (created + seconds, phase)
        for seconds, phase in ((0.0, "Creating"), (2.0, "Pending"), (600.0, "Initializing"))
    )
    name = f"train-{number:010x}-g1"
    return Row(identity, name, str(number % projects), created, "Running", created + 640.0, past)


def _trigger(scenario: Scenario, row: Row, number: int) -> Any:
    from airflow_runai.triggers.workload import RunaiWorkloadTrigger

    interval = scenario.intervals[number % len(scenario.intervals)]
    policy = {
        "poll_interval": interval,
        "when_suspended": "wait",
        "timeouts": dict(scenario.timeouts),
    }
    workload = {
        "id": row.id,
        "name": row.name,
        "project_id": row.project,
        "cluster_id": "7f3c9a52-4a54-4d0b-9a2e-1d4bb1f3c001",
        "kind": "Training",
        "created_at": row.created,
        "phase": "Pending",
    }
    connection = f"runai_{number % scenario.connections}"
    trigger: Any = RunaiWorkloadTrigger(connection, workload, policy, get_logs=scenario.get_logs)
    trigger.task_instance = SimpleNamespace(
        dag_id="bench", task_id=row.name, run_id="run", map_index=-1, try_number=1
    )
    return trigger


class _Sleeper:
    """The least that a trigger can be."""

    async def run(self) -> AsyncIterator[Any]:
        await asyncio.sleep(1e6)
        yield SimpleNamespace(payload={})


def _sleeper() -> Any:
    return _Sleeper()


def measure(scenario: Scenario, sleeping: bool = False) -> Figures:
    """Play a scenario in this process."""
    _warm_up()
    return _play(scenario, sleeping)


def _play(scenario: Scenario, sleeping: bool = False) -> Figures:
    async def play(loop: virtual_loop.VirtualLoop) -> Figures:
        waiting = Waiting(scenario, loop)
        with faulty_wire.installed(waiting.wire), supervisor.installed(waiting.airflow):
            return await waiting.figures(sleeping)

    found: Figures = virtual_loop.run(play)
    return found


@cache
def _warm_up() -> None:
    """Let the first few waits pay for what each process pays once."""
    load_heap()
    _play(SCENARIOS["calm-short"].with_waits(10))


def load_heap() -> None:
    """Import what a triggerer has in memory, and keep the triggers' notices to themselves."""
    import airflow.jobs.triggerer_job_runner  # noqa: F401

    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)


def measure_apart(*scenarios: Scenario, sleeping: bool = False) -> list[Figures]:
    """Play scenarios one after the other, in a process of their own."""
    names = [word for each in scenarios for word in ("--scenario", f"{each.name}:{each.waits}")]
    command = [sys.executable, "-m", "tests.benchmarks.waiting", "--json", *names]
    command += ["--sleeping"] if sleeping else []
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AIRFLOW_HOME": home, "_AIRFLOW_PROCESS_CONTEXT": "client"}
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env=environment
        )
    # Airflow's logs go there, too.
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return [Figures(**json.loads(line)) for line in lines]


def memory_of_a_wait(few: int = 1000, many: int = 10_000) -> float:
    """Return the bytes that one more wait takes, beyond those of a trigger that only sleeps."""
    calm = SCENARIOS["calm-short"]

    def slope(sleeping: bool) -> float:
        (small,) = measure_apart(calm.with_waits(few), sleeping=sleeping)
        (large,) = measure_apart(calm.with_waits(many), sleeping=sleeping)
        return (large.resident_kb - small.resident_kb) * 1024 / (many - few)

    return slope(False) - slope(True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = ", ".join([*SCENARIOS, MEMORY])
    parser.add_argument("--scenario", action="append", metavar="NAME[:WAITS]", help=known)
    parser.add_argument("--waits", type=int, help="instead of the scenarios' own numbers")
    parser.add_argument("--json", action="store_true", help="print JSON, all from this process")
    parser.add_argument("--sleeping", action="store_true", help="with triggers that only sleep")
    chosen = parser.parse_args()
    names = chosen.scenario or [*SCENARIOS, MEMORY]
    if not chosen.json:
        print(header())
    for name in names:
        if name == MEMORY:
            print(f"a wait takes {memory_of_a_wait():,.0f} bytes")
        elif chosen.json:
            print(json.dumps(asdict(measure(_named(name, chosen.waits), chosen.sleeping))))
        else:
            (found,) = measure_apart(_named(name, chosen.waits), sleeping=chosen.sleeping)
            print(found.line(), flush=True)


def _named(text: str, waits: int | None) -> Scenario:
    name, _, number = text.partition(":")
    scenario = SCENARIOS[name]
    waits = waits or (int(number) if number else None)
    return scenario.with_waits(waits) if waits else scenario


if __name__ == "__main__":
    main()

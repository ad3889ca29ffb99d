"""Triggerers: run triggers, cancel them late, lose them to each other, and die."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.context import _preset_connections

from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.simulation.airflow import Airflow, TaskInstance
from tests.simulation.process import Process

#: Seconds that Airflow really leaves ``on_kill``, whatever is configured.
LAST_SECOND = 1.0


@dataclass(eq=False)
class Row:
    """A trigger in Airflow's database."""

    number: int
    ti: TaskInstance
    arguments: str


@dataclass(eq=False)
class Running:
    """A trigger as one triggerer runs it."""

    row: Row
    trigger: RunaiWorkloadTrigger
    process: Process
    task: asyncio.Task[None] = field(init=False)


@dataclass(eq=False)
class Triggerers:
    """
    All triggerers; at any time at most one of them takes new triggers.

    :param away: seconds after which a triggerer that died is replaced.
    """

    airflow: Airflow
    present: Process | None = None
    away: float = 10.0
    numbers: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.present = self._fresh()

    def _fresh(self) -> Process:
        process = self.airflow.new_process("triggerer", self.airflow.machinery.triggerer_skew)
        process.on_death = lambda: self._died(process)
        return process

    def add(self, ti: TaskInstance, trigger: Any) -> None:
        """Write a trigger to the database; a triggerer picks it up a little later."""
        self.numbers += 1
        _, arguments = trigger.serialize()
        ti.row = self.numbers
        row = self.rows[self.numbers] = Row(self.numbers, ti, json.dumps(arguments))
        self.airflow.later(self.airflow.machinery.pick_up, lambda: self._pick_up(row))

    def _pick_up(self, row: Row) -> None:
        if row.number not in self.rows or self.present is None:
            return
        if any(r.row is row and r.process is self.present for r in self.running):
            return
        ti = row.ti
        trigger = RunaiWorkloadTrigger(**json.loads(row.arguments))
        names = ("dag_id", "run_id", "task_id", "map_index", "try_number")
        about: Any = SimpleNamespace(**{name: getattr(ti, name) for name in names})
        trigger.task_instance = about
        running = Running(row, trigger, self.present)
        preset = (_preset_connections, self.airflow.connection(self.present.name))
        running.task = self.present.start(self._run(running), preset)
        self.running.append(running)
        self.airflow.story.note("picked up", self.present.name, ti=ti.task_id, row=row.number)

    async def _run(self, running: Running) -> None:
        airflow, row = self.airflow, running.row
        try:
            async for event in running.trigger.run():
                payload = json.loads(json.dumps(event.payload))
                airflow.story.note(
                    "fired",
                    running.process.name,
                    ti=row.ti.task_id,
                    row=row.number,
                    status=payload.get("status"),
                    workload_id=payload.get("workload_id"),
                )
                self.rows.pop(row.number, None)
                airflow.later(0.5, partial(airflow.fire, row.ti, row.number, payload))
                return
        except asyncio.CancelledError:
            raise
        except Exception as error:
            airflow.story.note(
                "broke",
                running.process.name,
                ti=row.ti.task_id,
                error=f"{type(error).__name__}: {error}",
            )
            airflow.broke(row.ti, row.number, str(error))
        finally:
            if running in self.running:
                self.running.remove(running)

    def cancel(self, number: int) -> None:
        """Drop a trigger whose task a person acted on; whoever runs it hears of it late."""
        self.rows.pop(number, None)
        for running in [r for r in self.running if r.row.number == number]:
            self.airflow.later(self.airflow.machinery.kill_delay, partial(self._cancel, running))

    def _cancel(self, running: Running) -> None:
        if running.process.alive:
            preset = (_preset_connections, self.airflow.connection(running.process.name))
            running.process.start(self._kill(running), preset)

    async def _kill(self, running: Running) -> None:
        running.task.cancel()
        with suppress(asyncio.CancelledError):
            await running.task
        self.airflow.story.note("on_kill", running.process.name, row=running.row.number)
        with suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(running.trigger.on_kill(), LAST_SECOND)

    def take_over(self, seconds: float) -> None:
        """Let another triggerer take all triggers; the old one goes on for ``seconds`` and then hears ``on_kill``."""
        lost = [r for r in self.running if r.process is self.present]
        self.present = self._fresh()
        self.airflow.story.note("take-over", self.present.name, triggers=len(lost))
        for row in list(self.rows.values()):
            self._pick_up(row)
        for running in lost:
            self.airflow.later(seconds, partial(self._cancel, running))

    def crash(self, seconds: float) -> None:
        """Kill the triggerer; another one takes its triggers after ``seconds``."""
        if self.present is None:
            return
        self.away = seconds
        self.present.die()

    def _died(self, process: Process) -> None:
        self.airflow.story.note("crashed", process.name)
        self.running = [r for r in self.running if r.process is not process]
        if process is self.present:
            self.present = None
            self.airflow.later(self.away, self._restart)

    def _restart(self) -> None:
        if self.present is None:
            self.present = self._fresh()
            self.airflow.story.note("started", self.present.name)
            for row in list(self.rows.values()):
                self._pick_up(row)

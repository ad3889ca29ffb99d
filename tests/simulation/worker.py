"""A worker: a process that runs one try of a task, and may be told to stop, be killed, or be forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.execution_time.context import _preset_connections

from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.sensors.workload import RunaiWorkloadSensor
from tests.simulation.airflow import Airflow, TaskInstance
from tests.simulation.comms import ContextTi, DagRun, Store
from tests.simulation.process import Process, in_greenlet

SPEC = {
    "image": "registry.example/train:7",
    "command": "./startup.sh",
    # Relative: nobody reads it, in a thread that knows no virtual time.
    "environment": {"CHECKPOINTS": "ckpt"},
}
#: What the linter would say about it at each of a thousand parses.
SILENCE = ("checkpoint-path-not-persistent", "no-checkpoint-path")
#: Seconds that Airflow leaves a worker between SIGTERM and SIGKILL.
LAST_SECONDS = 5.0


def control_plane(login: str) -> dict[str, Connection]:
    """What a process knows of the control plane; processes with one login share a session."""
    extra = '{"project": "team-a", "verify_ssl": false}'
    about: dict[str, Any] = {
        "conn_type": "runai",
        "host": "https://org.run.ai",
        "password": "a-secret",
        "extra": extra,
    }
    return {"runai_default": Connection(conn_id="runai_default", login=login, **about)}


def operator_of(ti: TaskInstance) -> BaseOperator:
    """Parse the DAG as it is now."""
    task = ti.task
    with DAG(ti.dag_id, schedule=None):
        if ti.sensor_of:
            return RunaiWorkloadSensor(
                task_id=ti.task_id,
                workload=ti.sensor_of,
                deferrable=task.deferrable,
                poke_interval=30,
                retries=9,
            )
        return RunaiTrainingOperator(
            task_id=ti.task_id,
            spec=SPEC
            if task.backoff_limit is None
            else SPEC | {"backoff_limit": task.backoff_limit},
            workload_name=ti.slug,
            retries=task.retries,
            retry_delay=timedelta(seconds=task.retry_delay),
            deferrable=task.deferrable,
            timeouts=dict(task.timeouts) or None,
            on_kill=task.on_kill,
            on_clear=task.on_clear,
            when_suspended=task.when_suspended,
            lint_ignore=SILENCE,
            # A worker reads logs in a thread, which knows no virtual time.
            get_logs="off",
        )


@dataclass(eq=False)
class Worker:
    """One try, or what follows its deferral."""

    airflow: Airflow
    ti: TaskInstance
    process: Process
    event: dict[str, Any] | None
    operator: BaseOperator
    context: dict[str, Any]
    ended: bool = False

    @classmethod
    def start(cls, airflow: Airflow, ti: TaskInstance, event: dict[str, Any] | None) -> Worker:
        """Begin to run a task instance."""
        process = airflow.new_process("worker", airflow.machinery.worker_skew)
        operator = operator_of(ti)
        seen = ContextTi(ti, process, airflow, ti.try_number, ti.max_tries, ti.life)
        store = Store(ti, process, ti.life, ti.id)
        run = DagRun.of(ti.run_id, ti.life)
        context = {"ti": seen, "task": operator, "task_state_store": store, "dag_run": run}
        worker = cls(airflow, ti, process, event, operator, context)
        process.on_death = worker._died
        preset = (_preset_connections, airflow.connection("airflow"))
        process.start(worker._main(), preset, (ExecutorSafeguard.tracker, operator))
        return worker

    async def _main(self) -> None:
        name, airflow = self.process.name, self.airflow
        try:
            result = await in_greenlet(self._work)
        except asyncio.CancelledError:
            return
        except TaskDeferred as deferral:
            self.ended = True
            airflow.deferred(self, deferral.trigger)
        except Exception as error:
            self.ended = True
            hopeless = isinstance(error, AirflowFailException)
            words = f"{type(error).__name__}: {error}"
            airflow.story.note(
                "raised",
                name,
                ti=self.ti.task_id,
                error=words,
                hopeless=hopeless,
                attempt=self.ti.try_number,
            )
            airflow.failed(self, words, retry=not hopeless)
        else:
            self.ended = True
            airflow.succeeded(self, result)

    def _work(self) -> Any:
        if self.event is None:
            return self.operator.execute(self.context)  # type: ignore[arg-type]  # as much of one as is used
        return self.operator.execute_complete(self.context, self.event)  # type: ignore[attr-defined]

    def terminate(self) -> None:
        """Send SIGTERM, and SIGKILL a little later."""
        if self.ended or not self.process.alive:
            return
        self.airflow.story.note("sigterm", self.process.name)
        self.operator.on_kill()
        self.airflow.later(LAST_SECONDS, self.process.die)

    def forget(self) -> None:
        """Lose its heartbeats: Airflow takes it for dead, and it goes on."""
        self.airflow.story.note("zombie", self.process.name)
        self.airflow.lost(self)

    def _died(self) -> None:
        if self.ended:
            return
        self.airflow.story.note(
            "died", self.process.name, ti=self.ti.task_id, attempt=self.ti.try_number
        )
        delay = 0.5 if self.ti.state == "restarting" else self.airflow.machinery.death_noticed
        self.airflow.later(delay, lambda: self.airflow.lost(self))

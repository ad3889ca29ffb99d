"""What a task may ask of Airflow: the context of a try, and ``SUPERVISOR_COMMS`` for code that runs in a trigger."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import (
    ErrorResponse,
    GetTaskStates,
    GetVariable,
    GetXCom,
    MaskSecret,
    PutVariable,
    SetXCom,
    TaskStatesResult,
    VariableResult,
    XComResult,
)
from airflow.sdk.execution_time.supervisor import set_supervisor_comms

from tests.simulation.clock import BEGIN
from tests.simulation.process import Process, blocking, here

if TYPE_CHECKING:
    from tests.simulation.airflow import Airflow, TaskInstance


class AirflowApiError(Exception):
    """Airflow's own API server does not answer."""


@dataclass(eq=False)
class Store:
    """
    The task state store: survives a clear, dies with the run.

    Airflow finds it by the id of the try: after the next one it has nothing for this one, and takes
    nothing from it (``tests/airflow/test_notes.py``).
    """

    ti: TaskInstance
    process: Process
    life: int
    id: int

    def get(self, key: str) -> Any:
        ti = _of_this_life(self._asked(), self.life)
        return ti.store.get(key) if self._is_here else None

    def set(self, key: str, value: Any, retention: object = None) -> None:
        ti = _of_this_life(self._asked(), self.life)
        if not self._is_here:
            raise AirflowApiError("404: no such task instance")
        ti.store[key] = value

    def _asked(self) -> TaskInstance:
        blocking(_call(self.process))
        return self.ti

    @property
    def _is_here(self) -> bool:
        return self.ti.id == self.id


@dataclass(frozen=True)
class DagRun:
    """The run as a try sees it."""

    run_id: str
    run_after: datetime
    start_date: datetime

    @classmethod
    def of(cls, run_id: str, life: int = 1) -> DagRun:
        """Return a run that began when it was due; one that is made again keeps its due moment."""
        due = datetime.fromtimestamp(BEGIN, timezone.utc)
        begun = due + timedelta(seconds=1.0 if life == 1 else 60.0)
        return cls(f"{run_id}__{due.isoformat()}", due, begun)


@dataclass(eq=False)
class ContextTi:
    """The task instance as a try sees it."""

    ti: TaskInstance
    process: Process
    airflow: Airflow
    try_number: int
    max_tries: int
    life: int = 1

    def __getattr__(self, name: str) -> Any:
        if name in ("dag_id", "run_id", "task_id", "map_index"):
            return getattr(self.ti, name)
        raise AttributeError(name)

    def xcom_push(self, key: str, value: Any) -> None:
        blocking(_call(self.process))
        _of_this_life(self.ti, self.life).xcoms[key] = value

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        blocking(_call(self.process))
        return _of_this_life(self.ti, self.life).xcoms.get(key)

    def get_task_states(self, **which: Any) -> dict[str, dict[str, str | None]]:
        blocking(_call(self.process))
        return self.airflow.states_of(
            which["dag_id"], which["run_ids"], which["task_ids"], which["map_index"]
        )


def _of_this_life(ti: TaskInstance, life: int) -> TaskInstance:
    """Return the task instance, if its run was not deleted since; one that was made again has another id."""
    if ti.life != life or ti.state == "removed":
        raise AirflowApiError("404: no such task instance")
    return ti


class Comms:
    """Answers what code of a worker or a trigger asks its supervisor; each answer takes a step of the process."""

    airflow: Airflow | None = None

    def send(self, message: object) -> Any:
        """Answer blocking code."""
        return None if isinstance(message, MaskSecret) else blocking(self.asend(message))

    async def asend(self, message: object) -> Any:
        """Answer code on the event loop."""
        process, airflow = here(), self.airflow
        if isinstance(message, MaskSecret):
            return None
        assert process is not None, "only simulated processes ask Airflow"
        assert airflow is not None, "there is an Airflow to ask"
        await _call(process)
        return _answer(airflow, message)


def _answer(airflow: Airflow, message: object) -> Any:
    if isinstance(message, GetTaskStates):
        which = message.run_ids or [], message.task_ids or [], message.map_index
        return TaskStatesResult(task_states=airflow.states_of(message.dag_id, *which))
    if isinstance(message, (GetXCom, SetXCom)):
        xcoms = airflow.xcoms_of(message.dag_id, message.run_id, message.task_id)
        if isinstance(message, GetXCom):
            return XComResult(key=message.key, value=xcoms.get(message.key))
        xcoms[message.key] = message.value
        return None
    if isinstance(message, PutVariable):
        airflow.variables[message.key] = message.value
        return None
    assert isinstance(message, GetVariable), f"this model of Airflow has no answer to {message!r}"
    if message.key not in airflow.variables:
        return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
    return VariableResult(key=message.key, value=airflow.variables[message.key])


async def _call(process: Process) -> None:
    trouble = process.step()
    await asyncio.sleep(0.05)
    if not process.alive:
        raise asyncio.CancelledError
    if trouble:
        raise AirflowApiError(f"the API server does not answer ({trouble})")


COMMS = Comms()


def installed() -> AbstractContextManager[None]:
    """Let the task SDK talk to :data:`COMMS`."""
    installing: AbstractContextManager[None] = set_supervisor_comms(COMMS)
    return installing

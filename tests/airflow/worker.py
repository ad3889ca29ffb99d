"""A task without a scheduler: it runs in a thread as in a worker, and its trigger on this event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import TaskDeferred

from airflow_runai.operators.training import RunaiTrainingOperator


class Store(dict[str, Any]):
    """Airflow's task state store."""

    def set(self, key: str, value: object, retention: object = None) -> None:
        self[key] = value


@dataclass(eq=False)
class Ti:
    """A task instance in its first try."""

    run_id: str
    dag_id: str = "dag"
    task_id: str = "task"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 0
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: object) -> None:
        self.xcoms[key] = value

    def get_task_states(self, **which: object) -> dict[str, dict[str, str]]:
        return {self.run_id: {self.task_id: "running"}}


@dataclass(eq=False)
class Worker:
    """
    One task on its way through workers and the triggerer.

    :param run_id: tells it from others.
    :ivar deferrals: what it has deferred to, oldest first.
    :ivar before_return: called after a trigger has fired, before a worker takes the task up again.
    """

    run_id: str
    operator: RunaiTrainingOperator
    store: Store = field(default_factory=Store)
    deferrals: list[TaskDeferred] = field(default_factory=list)
    before_return: Callable[[], object] = lambda: None
    began: float = 0.0
    is_done: bool = False

    def run_once(self, method: str = "execute", **event: Any) -> Any:
        """Run in a worker until the task ends or defers."""
        run = SimpleNamespace(run_id=self.run_id, run_after=None, start_date=None)
        context = {"ti": self.ti(), "task": self.operator, "dag_run": run}
        token = ExecutorSafeguard.tracker.set(self.operator)
        try:
            return getattr(self.operator, method)(
                {**context, "task_state_store": self.store}, **event
            )
        finally:
            ExecutorSafeguard.tracker.reset(token)

    def ti(self) -> Ti:
        """Return the task instance as a worker gets it."""
        return Ti(self.run_id)

    async def live(self) -> None:
        """Run to the end, through all deferrals."""
        self.began = time.time()
        method, event = "execute", dict[str, Any]()
        while not self.is_done:
            try:
                await asyncio.to_thread(self.run_once, method, **event)
                self.is_done = True
            except TaskDeferred as deferred:
                self.deferrals.append(deferred)
                event = {"event": await self._fired(deferred.trigger)}
                method = str(deferred.method_name)
                await asyncio.to_thread(self.before_return)

    async def _fired(self, trigger: Any) -> Any:
        # As the database keeps it between the two.
        path, given = trigger.serialize()
        async for event in type(trigger)(**given).run():
            return event.payload
        raise AssertionError(f"{path} ended without an event")

"""
A model of Airflow 3.3.2, as observed: tries, states, clears, marks. Workers, triggerers and the API
server are in files of their own.

The rules that matter: a clear sets ``max_tries = try_number + retries``; a try that failed is
repeated while ``try_number <= max_tries`` (and ``max_tries`` is not 0); XComs go when a try begins,
the state store stays.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk.definitions.connection import Connection

from tests.simulation.clock import VirtualLoop
from tests.simulation.history import Machinery, Task
from tests.simulation.process import Process
from tests.simulation.story import Story

if TYPE_CHECKING:
    from tests.simulation.triggerer import Triggerers
    from tests.simulation.worker import Worker

FINISHED = ("success", "failed", "skipped", "removed")
#: Who marks without the API server hearing of it.
SCHEDULER = "dagrun_timeout"
#: What a mark on their run makes failed; whatever else is unfinished becomes skipped, and nobody is
#: told.
AT_WORK = ("running", "restarting", "deferred")


class Hearing(Protocol):
    """An API server."""

    def hear(
        self, dag_id: str, run_id: str, task_id: str | None = None, map_index: int = -1
    ) -> None:
        """Hear of a mark on a task, or on a run."""

    def restart(self) -> None:
        """Forget what was heard."""


class Deaf:
    """The API server of an Airflow whose provider has no listener."""

    def hear(
        self, dag_id: str, run_id: str, task_id: str | None = None, map_index: int = -1
    ) -> None:
        pass

    def restart(self) -> None:
        pass


@dataclass(eq=False)
class TaskInstance:
    """
    A row of Airflow's database.

    :param since: counts changes of the state, so that what was planned for an earlier one is
        dropped.
    :param row: number of its trigger, if it has one.
    :param has_begun: whether it has rendered its fields.
    :param sensor_of: name of the workload that it only watches; empty for a training.
    :param id: of this try; Airflow gives another one at once when a try fails or is cleared.
    """

    dag_id: str
    run_id: str
    task_id: str
    task: Task
    slug: str = "train"
    map_index: int = -1
    sensor_of: str = ""
    has_begun: bool = False
    state: str | None = None
    try_number: int = 0
    max_tries: int = 0
    since: int = 0
    life: int = 1
    id: int = 0
    row: int | None = None
    event: dict[str, Any] | None = None
    xcoms: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    worker: Worker | None = None

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED


@dataclass(eq=False)
class Airflow:
    """
    Scheduler, database and API server.

    :param connection: what a process knows of the platform, by its login.
    """

    loop: VirtualLoop
    story: Story
    machinery: Machinery
    chance: random.Random
    new_process: Callable[[str, float], Process]
    connection: Callable[[str], dict[str, Connection]]
    tis: list[TaskInstance] = field(default_factory=list)
    variables: dict[str, str | None] = field(default_factory=dict)
    background: set[asyncio.Task[Any]] = field(default_factory=set)
    triggerers: Triggerers = field(init=False)
    api_server: Hearing = field(init=False)
    run_worker: Callable[[TaskInstance, dict[str, Any] | None], Worker] = field(init=False)

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """Do something after a while."""
        self.loop.after(seconds, work)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something beside everything else."""
        task = self.loop.create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    def add(self, ti: TaskInstance) -> None:
        """Begin a run."""
        ti.max_tries = ti.task.retries
        self.tis.append(ti)
        self.become(ti, None, "the run began")

    def become(self, ti: TaskInstance, state: str | None, why: str) -> None:
        """Set the state, and plan what follows from it."""
        ti.state, ti.since = state, ti.since + 1
        self.story.note(state or "none", ti.task_id, why=why, attempt=ti.try_number, life=ti.life)
        if state is None:
            self._when(ti, self.chance.uniform(0.5, 3.0), self._schedule)
        elif state == "up_for_retry":
            self._when(ti, ti.task.retry_delay, self._schedule)
        elif state == "scheduled":
            self._when(ti, self.machinery.slot_wait, self._queue)
        elif state == "queued":
            self._when(ti, self.chance.uniform(0.3, 2.0), self._run)

    def _when(self, ti: TaskInstance, seconds: float, step: Callable[[TaskInstance], None]) -> None:
        planned = ti.since
        self.later(seconds, lambda: step(ti) if ti.since == planned else None)

    def _schedule(self, ti: TaskInstance) -> None:
        ti.try_number += 1
        ti.event = None
        self.become(ti, "scheduled", "its turn")

    def _queue(self, ti: TaskInstance) -> None:
        self.become(ti, "queued", "a slot is free")

    def _run(self, ti: TaskInstance) -> None:
        event, ti.event = ti.event, None
        if event is None:
            ti.xcoms.clear()
        ti.has_begun = True
        self.become(ti, "running", "a worker took it")
        ti.worker = self.run_worker(ti, event)

    # What a worker reports

    def deferred(self, worker: Worker, trigger: Any) -> None:
        """Take over a try that waits."""
        if self._is_current(worker) and worker.ti.state == "running":
            worker.ti.worker = None
            self.become(worker.ti, "deferred", "it waits for its trigger")
            self.triggerers.add(worker.ti, trigger)
        else:
            self._refused(worker)

    def succeeded(self, worker: Worker, result: Any) -> None:
        """End a try well."""
        if self._is_current(worker) and worker.ti.state == "running":
            worker.ti.worker = None
            worker.ti.xcoms["return_value"] = result
            self.become(worker.ti, "success", "its worker says so")
        else:
            self._refused(worker)

    def failed(self, worker: Worker, words: str, retry: bool = True) -> None:
        """End a try badly."""
        if not self._is_current(worker) or worker.ti.state not in ("running", "restarting"):
            self._refused(worker)
            return
        worker.ti.worker = None
        if worker.ti.state == "restarting":
            self._again(worker.ti)
        else:
            self._failed(worker.ti, words, retry)

    def _refused(self, worker: Worker) -> None:
        self.story.note("ignored", worker.process.name, why=f"Airflow has {worker.ti.state}")
        if self._is_current(worker) and worker.ti.state == "restarting":
            worker.ti.worker = None
            self._again(worker.ti)

    def _is_current(self, worker: Worker) -> bool:
        return worker.ti.worker is worker

    def _again(self, ti: TaskInstance) -> None:
        ti.max_tries = ti.try_number + ti.task.retries
        self.become(ti, None, "it was cleared")

    def _failed(self, ti: TaskInstance, words: str, retry: bool) -> None:
        again = retry and ti.max_tries != 0 and ti.try_number <= ti.max_tries
        ti.id += again
        self.become(ti, "up_for_retry" if again else "failed", words)

    def lost(self, worker: Worker) -> None:
        """Notice that a worker does not live any more."""
        if self._is_current(worker) and worker.ti.state in ("running", "restarting"):
            self.failed(worker, "its worker died")

    def fire(self, ti: TaskInstance, row: int, event: dict[str, Any]) -> None:
        """Take the event of a trigger, if it is still the task's."""
        if ti.row == row and ti.state == "deferred":
            ti.row, ti.event = None, event
            self.become(ti, "scheduled", f"its trigger fired: {event.get('status')}")

    def broke(self, ti: TaskInstance, row: int, words: str) -> None:
        """Fail a try whose trigger raised."""
        if ti.row == row and ti.state == "deferred":
            ti.row = None
            self._failed(ti, f"its trigger raised: {words}", retry=True)

    # What a person does

    def clear(self, ti: TaskInstance, who: str = "a person") -> None:
        """Let it run again."""
        if ti.state == "removed":
            return
        self.story.note("cleared", who, ti=ti.task_id, state=ti.state, attempt=ti.try_number)
        ti.id += 1
        if ti.state == "running":
            self.become(ti, "restarting", "cleared")
            self._tell_worker(ti)
            return
        self._drop_trigger(ti)
        ti.max_tries = ti.try_number + ti.task.retries
        ti.event = None
        self.become(ti, None, "cleared")

    def mark(self, ti: TaskInstance, state: str, who: str = "a person") -> None:
        """End it by hand."""
        if ti.is_finished:
            return
        if who != SCHEDULER:
            self.api_server.hear(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        self._end(ti, state, who)

    def mark_run(self, run_id: str) -> None:
        """Mark a run failed."""
        for ti in [ti for ti in self.tis if ti.run_id == run_id and not ti.is_finished]:
            if ti.state in AT_WORK:
                self.mark(ti, "failed")
            else:
                self._end(ti, "skipped", "a person")
        self.api_server.hear(self.tis[0].dag_id, run_id)

    def forget(self, ti: TaskInstance) -> None:
        """Delete its run for good: Airflow knows of no such task any more."""
        self._drop_trigger(ti)
        self._tell_worker(ti)
        self.tis.remove(ti)
        self.become(ti, "removed", "its run was deleted")

    def _end(self, ti: TaskInstance, state: str, who: str) -> None:
        self.story.note(
            "marked", who, ti=ti.task_id, state=ti.state, to=state, attempt=ti.try_number
        )
        was = ti.state
        self._drop_trigger(ti)
        self.become(ti, state, f"marked {state} while {was}")
        if was in ("running", "restarting"):
            self._tell_worker(ti)

    def _drop_trigger(self, ti: TaskInstance) -> None:
        if ti.row is not None:
            row, ti.row = ti.row, None
            self.triggerers.cancel(row)

    def _tell_worker(self, ti: TaskInstance) -> None:
        worker = ti.worker
        if worker is not None:
            self.later(self.chance.uniform(0.0, self.machinery.heartbeat), worker.terminate)

    # What anybody may ask

    def states_of(
        self,
        dag_id: str,
        run_ids: Collection[str],
        task_ids: Collection[str],
        map_index: int | None,
    ) -> dict[str, dict[str, str | None]]:
        """Answer as ``GetTaskStates`` is answered."""
        found: dict[str, dict[str, str | None]] = {}
        for ti in self.tis:
            if (
                ti.dag_id == dag_id
                and ti.run_id in run_ids
                and ti.task_id in task_ids
                and ti.map_index == map_index
            ):
                name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"
                found.setdefault(ti.run_id, {})[name] = ti.state
        return found

    def xcoms_of(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return the XComs of a task, to be read and written."""
        found = (
            ti for ti in self.tis if (ti.dag_id, ti.run_id, ti.task_id) == (dag_id, run_id, task_id)
        )
        return next((ti.xcoms for ti in found), {})

"""
The wait for a checkpoint, on the triggerer.

Storage is read in two threads of their own, however many wait: the loop that serves all of a
triggerer's waits never blocks, and neither do the threads that Airflow and others use. What is
cancelled stops reading at the next chunk.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_runai.errors import NoValidCheckpoint, SpecError
from airflow_runai.hooks.sessions import session
from airflow_runai.links import WORKLOAD_KEY
from airflow_runai.tasks.checkpoint_query import CheckpointQuery, progress_logger
from airflow_runai.tasks.checkpoint_wait import (
    FetchXCom,
    Progress,
    Read,
    State,
    Step,
    Watch,
    adrive,
    state_in,
)

T = TypeVar("T")

TIMED_OUT, WRONG = "timed_out", "wrong"
#: Two readers keep a network busy; more would only take turns.
READERS = 2


class RunaiCheckpointTrigger(BaseTrigger):
    """
    Waits until a checkpoint passes, or its workload has ended without one, then fires once.

    All parameters are plain JSON, because they are stored in Airflow's database; secrets are not
    among them. The event is ``{"status": "found", "result": …, "refused": …}``, or ``ended``,
    ``timed_out`` or ``wrong`` with ``words``.

    :param search: the fields of :class:`CheckpointQuery`.
    :param poll_interval: seconds between looks.
    :param deadline: epoch seconds after which the wait ends; ``None`` for never.
    :param workload: whose end ends the wait: the fields of :class:`FetchXCom` or of a workload;
        ``None`` for nobody's.
    :param veto: put bad checkpoints aside while the workload is interrupted.
    :param min_defer_seconds: do not fire earlier than this after the start.
    """

    def __init__(
        self,
        search: dict[str, Any],
        poll_interval: float,
        deadline: float | None = None,
        workload: dict[str, Any] | None = None,
        runai_conn_id: str = "runai_default",
        veto: bool = False,
        min_defer_seconds: float = 10.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's constructor has no annotations
        self.search = search
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.workload = workload
        self.runai_conn_id = runai_conn_id
        self.veto = veto
        self.min_defer_seconds = min_defer_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        names = (
            "search",
            "poll_interval",
            "deadline",
            "workload",
            "runai_conn_id",
            "veto",
            "min_defer_seconds",
        )
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        earliest = asyncio.get_running_loop().time() + self.min_defer_seconds
        event = await self._wait()
        await asyncio.sleep(max(0.0, earliest - asyncio.get_running_loop().time()))
        yield TriggerEvent(event)

    async def _wait(self) -> dict[str, Any]:
        watch = Watch(CheckpointQuery(**self.search), self.workload, self.veto)
        while True:
            try:
                event = await adrive(watch.round(), self._do)
            except (NoValidCheckpoint, SpecError) as error:
                return {"status": WRONG, "words": str(error)}
            if event is not None:
                return event
            left = None if self.deadline is None else self.deadline - time.time()
            if left is not None and left <= 0:
                return {"status": TIMED_OUT, "words": watch.words}
            await asyncio.sleep(
                self.poll_interval if left is None else min(self.poll_interval, left)
            )

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Read):
            return await in_thread(step.call)
        if isinstance(step, FetchXCom):
            return await _recall(step)
        if isinstance(step, State):
            return await asyncio.to_thread(_state, step.task)
        async with session(self.runai_conn_id) as joined:
            return await joined.run(step.flow())


async def _recall(step: FetchXCom) -> Mapping[str, Any] | None:
    # Imported here: it pulls in the worker's machinery, which DAG parsing does not need.
    from airflow.sdk.execution_time.xcom import XCom

    # In a thread: the supervisor of ``dag.test`` cannot be asked in another way.
    found = await asyncio.to_thread(XCom.get_one, key=WORKLOAD_KEY, **asdict(step))
    return found if isinstance(found, Mapping) else None


def _state(task: FetchXCom) -> str | None:
    # Imported here, and asked in a thread, for the same reasons.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return state_in(RuntimeTaskInstance.get_task_states(**task.question()))


class _Abandoned(BaseException):
    """
    Nobody waits for this reading any more.

    No ``Exception``, so that no reader takes it for a damage.
    """


async def in_thread(call: Callable[[Progress], T]) -> T:
    """
    Call something that blocks, off the loop; at most :data:`READERS` at a time.

    :param call: is given what it has to tell how far it is; that ends it when this is cancelled.
    """
    stop = threading.Event()

    def clock() -> float:
        if stop.is_set():
            raise _Abandoned
        return time.monotonic()

    # Log lines find their task, and connections their supervisor, by the context.
    reading = partial(contextvars.copy_context().run, call, progress_logger(clock))
    try:
        return await asyncio.get_running_loop().run_in_executor(_readers(), reading)
    except asyncio.CancelledError:
        stop.set()
        raise


@lru_cache(maxsize=1)
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, thread_name_prefix="runai-checkpoints")

"""
The wait for a checkpoint, on the triggerer.

Storage is read in two threads of its own, however many triggers wait: neither the loop that serves
all of them nor the threads that Airflow and others use ever block. A wait that is cancelled stops
reading at the next chunk.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_runai.core.flow import adrive
from airflow_runai.deployment.task_states import task_state
from airflow_runai.errors import InvalidArgument, NoValidCheckpoint
from airflow_runai.hooks.sessions import session
from airflow_runai.links import WORKLOAD_KEY
from airflow_runai.tasks.checkpoint_query import CheckpointQuery, progress_logger
from airflow_runai.tasks.checkpoint_wait import (
    CallApi,
    CheckpointWait,
    FetchTaskState,
    FetchXCom,
    Progress,
    ReadStorage,
    Step,
)

T = TypeVar("T")

TIMED_OUT, WRONG = "timed_out", "wrong"
#: Two readers keep a network busy; more would only take turns.
READERS = 2


class RunaiCheckpointTrigger(BaseTrigger):
    """
    Wait until a checkpoint passes, or its workload has ended without one, then fire once.

    All parameters are plain JSON, because they are stored in Airflow's database; secrets are not
    among them. The event is ``{"status": "found", "result": …, "refused": …}``, or ``ended``,
    ``timed_out`` or ``wrong`` with ``words``.

    :param search: the fields of :class:`CheckpointQuery`.
    :param poll_interval: seconds between looks.
    :param deadline: epoch seconds after which the wait ends; ``None`` for never.
    :param workload: the one whose end ends the wait: the fields of :class:`FetchXCom` or of a
        workload; ``None`` for no workload.
    :param quarantine_invalid: quarantine bad checkpoints while the workload is interrupted.
    :param min_defer_seconds: do not fire earlier than this after the start.
    """

    def __init__(
        self,
        search: dict[str, Any],
        poll_interval: float,
        deadline: float | None = None,
        workload: dict[str, Any] | None = None,
        runai_conn_id: str = "runai_default",
        quarantine_invalid: bool = False,
        min_defer_seconds: float = 10.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's constructor has no annotations
        self.search = search
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.workload = workload
        self.runai_conn_id = runai_conn_id
        self.quarantine_invalid = quarantine_invalid
        self.min_defer_seconds = min_defer_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "search": self.search,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "workload": self.workload,
                "runai_conn_id": self.runai_conn_id,
                "quarantine_invalid": self.quarantine_invalid,
                "min_defer_seconds": self.min_defer_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        earliest = asyncio.get_running_loop().time() + self.min_defer_seconds
        event = await self._wait()
        await asyncio.sleep(max(0.0, earliest - asyncio.get_running_loop().time()))
        yield TriggerEvent(event)

    async def _wait(self) -> dict[str, Any]:
        wait = CheckpointWait(
            CheckpointQuery(**self.search), self.workload, self.quarantine_invalid
        )
        while True:
            try:
                event = await adrive(wait.poll(), self._perform)
            except (NoValidCheckpoint, InvalidArgument) as error:
                return {"status": WRONG, "words": str(error)}
            if event is not None:
                return event
            left = math.inf if self.deadline is None else self.deadline - time.time()
            if left <= 0:
                return {"status": TIMED_OUT, "words": wait.reason}
            await asyncio.sleep(min(self.poll_interval, left))

    async def _perform(self, step: Step) -> Any:
        match step:
            case ReadStorage():
                return await in_thread(step.call)
            # In a thread: the supervisor of ``dag.test`` cannot be asked in another way.
            case FetchXCom():
                return await asyncio.to_thread(_fetch_xcom, step)
            case FetchTaskState():
                return await asyncio.to_thread(_fetch_task_state, step.task)
            case CallApi():
                async with session(self.runai_conn_id) as joined:
                    return await joined.run(step.flow(joined.backend))


def _fetch_xcom(task: FetchXCom) -> Mapping[str, Any] | None:
    # Imported here, and below: the worker's machinery is not needed to parse a DAG.
    from airflow.sdk.execution_time.xcom import XCom

    value = XCom.get_one(key=WORKLOAD_KEY, **asdict(task))
    return value if isinstance(value, Mapping) else None


def _fetch_task_state(task: FetchXCom) -> str | None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    return task_state(task, RuntimeTaskInstance.get_task_states)


class _Abandoned(BaseException):
    """
    The result of this reading is no longer needed.

    It is not an ``Exception``, so that no reader takes it for damage.
    """


async def in_thread(call: Callable[[Progress], T], storage: str = "") -> T:
    """
    Call something that blocks, off the loop; at most :data:`READERS` at a time.

    :param call: receives the progress callback, which raises when this is cancelled.
    :param storage: with readers of its own, so that one that hangs holds up no other.
    """
    stop = threading.Event()

    def clock() -> float:
        if stop.is_set():
            raise _Abandoned
        return time.monotonic()

    # Log lines find their task, and connections their supervisor, by the context.
    reading = partial(contextvars.copy_context().run, call, progress_logger(clock))
    try:
        return await asyncio.get_running_loop().run_in_executor(_readers(storage), reading)
    except asyncio.CancelledError:
        stop.set()
        raise


@lru_cache(maxsize=32)
def _readers(storage: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READERS, thread_name_prefix=f"runai-readers {storage}")

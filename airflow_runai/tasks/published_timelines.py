"""
Timelines in Airflow's XCom: written and read in the background, and rarely.

Each write costs Airflow's supervisor 20 ms and 19 SQL statements, in the queue through which every
event of the triggerer has to pass. So no wait awaits one; of several timelines of a workload the
newest wins; and a thousand preemptions at once are written one by one. What a wait ends with is not
written here: its task does that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from msgspec import json

from airflow_runai.core.flow import Flow, Signal, Wait
from airflow_runai.core.outcome import moments_from_json
from airflow_runai.core.timeline import Moment
from airflow_runai.links import TIMELINE_KEY

log = logging.getLogger(__name__)

ByLoop: TypeAlias = "WeakKeyDictionary[asyncio.AbstractEventLoop, PublishedTimelines]"

#: Seconds between two questions to Airflow in one process.
PACE = 0.2
#: Seconds between two timelines of one task.
REPEAT = 30.0
#: Seconds between two timelines in one process that nobody waits for.
IDLE_PACE = 2.0


@dataclass(frozen=True, slots=True)
class TaskAddress:
    """Where an XCom belongs."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int


@dataclass(slots=True)
class _Question:
    task: TaskAddress
    is_answered: Signal
    answer: tuple[Moment, ...] = ()


class PublishedTimelines:
    """Writes and reads the timelines of all waits on one event loop."""

    def __init__(self) -> None:
        # As JSON, a sixth of the memory: a thousand waits that begin at once take minutes to write.
        self._pending: dict[TaskAddress, bytes] = {}
        self._idle: dict[TaskAddress, bytes] = {}
        self._idle_at = -IDLE_PACE
        self._written_at: dict[TaskAddress, float] = {}
        self._questions: list[_Question] = []
        self._working: asyncio.Task[None] | None = None

    def publish(
        self, task: TaskAddress, timeline: Mapping[str, Any], *, is_urgent: bool = True
    ) -> None:
        """
        Write a timeline some time; it takes the place of one that was not written yet.

        :param is_urgent: if not, it is written when there is nothing else to write, and seldom.
        """
        try:
            encoded = json.encode(timeline)
        except Exception as error:  # nothing that is shown may end a wait
            _warn(task, error)
            return
        if is_urgent or task in self._pending:
            self._idle.pop(task, None)
            self._pending[task] = encoded
        else:
            self._idle[task] = encoded
        self._work()

    def forget(self, task: TaskAddress) -> None:
        """Drop what was not written yet: an older timeline must not follow the final one."""
        for known in (self._pending, self._idle, self._written_at):
            known.pop(task, None)

    def fetch(self, task: TaskAddress) -> Flow[tuple[Moment, ...]]:
        """Return the timeline that Airflow shows; none if it cannot be read."""
        question = _Question(task, Signal())
        self._questions.append(question)
        self._work()
        yield Wait(question.is_answered)
        return question.answer

    def _work(self) -> None:
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._until_nothing_is_left())

    async def _until_nothing_is_left(self) -> None:
        while self._questions or self._pending or self._idle:
            if self._questions:
                await self._answer(self._questions.pop(0))
            elif task := self._due(self._pending):
                await self._write(task, self._pending.pop(task))
            elif task := self._idly_due():
                await self._write(task, self._idle.pop(task))
            await asyncio.sleep(PACE)
        self._tidy()

    def _tidy(self) -> None:
        """Keep only what counts: thousands of waits begin at once, and a ``dict`` never shrinks."""
        moment = asyncio.get_running_loop().time()
        self._pending.clear()
        self._idle.clear()
        self._written_at = {t: at for t, at in self._written_at.items() if moment - at < REPEAT}

    def _due(self, timelines: Iterable[TaskAddress]) -> TaskAddress | None:
        moment = asyncio.get_running_loop().time()
        return next(
            (t for t in timelines if moment - self._written_at.get(t, -REPEAT) >= REPEAT), None
        )

    def _idly_due(self) -> TaskAddress | None:
        moment = asyncio.get_running_loop().time()
        if moment - self._idle_at < IDLE_PACE:
            return None
        task = self._due(self._idle)
        self._idle_at = moment if task else self._idle_at
        return task

    async def _answer(self, question: _Question) -> None:
        # Imported here, and below: the worker's machinery is not needed to parse a DAG.
        from airflow.sdk.execution_time.xcom import XCom

        try:
            value = await XCom.aget_one(key=TIMELINE_KEY, **asdict(question.task))
            question.answer = moments_from_json(value)
        except Exception as error:
            log.warning("the published timeline could not be read: %s", error)
        finally:
            question.is_answered.set()

    async def _write(self, task: TaskAddress, timeline: bytes) -> None:
        from airflow.sdk.execution_time.xcom import XCom

        self._written_at[task] = asyncio.get_running_loop().time()
        try:
            await XCom.aset(key=TIMELINE_KEY, value=json.decode(timeline), **asdict(task))
        except Exception as error:
            _warn(task, error)


def _warn(task: TaskAddress, error: Exception) -> None:
    log.warning("the timeline of task %s could not be published: %s", task.task_id, error)


#: A context variable only because the simulation plays several processes in one.
PUBLISHED: ContextVar[ByLoop] = ContextVar("published timelines", default=WeakKeyDictionary())  # noqa: B039


def published_timelines() -> PublishedTimelines:
    """Return the timelines of the running event loop."""
    return PUBLISHED.get().setdefault(asyncio.get_running_loop(), PublishedTimelines())

"""
The wait for a workload, on the triggerer: no worker slot is held, for weeks if need be.

It allows for what Airflow 3.3 does (each observed, see ``docs/waiting.md``): it never fires within
the first seconds, and never ends because a server could not be reached; its ``on_kill`` asks
Airflow whether the task is really finished before it touches the workload, in a task of its own
that outlives its cancellation.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import structlog
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_runai.core.backend import newest_named
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.core.log_lines import OFF
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.timeline import Moment
from airflow_runai.core.waiting import appearance, wait
from airflow_runai.core.workload import Workload
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.sessions import Session, session
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.companions import Companion, Company
from airflow_runai.tasks.kill import Kill
from airflow_runai.tasks.log_facts import LogEnd, LogFacts
from airflow_runai.tasks.log_tail import LogTail
from airflow_runai.tasks.long_waits import LongWait
from airflow_runai.tasks.published_timelines import TaskAddress, published_timelines
from airflow_runai.tasks.steps import Steps
from airflow_runai.tasks.voice import companions_of

log = structlog.get_logger(logger_name=__name__)

#: Strong references: the event loop itself keeps only weak ones to its tasks.
_BACKGROUND: set[asyncio.Task[None]] = set()


@lru_cache(maxsize=256)
def _one_for_all(policy: str) -> dict[str, Any]:
    """Return the one mapping of all equal policies: thousands of triggers keep theirs."""
    read: dict[str, Any] = json.loads(policy)
    return read


@lru_cache(maxsize=256)
def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first of all equal tuples."""
    return names


class RunaiWorkloadTrigger(BaseTrigger):
    """
    Wait until a workload ends, then fire once with :meth:`Outcome.to_event`.

    All parameters are plain JSON, because they are stored in Airflow's database; secrets are not
    among them.

    :param workload: identity of the workload (``id, name, project_id, cluster_id, kind,
        created_at``); with an empty id it waits for one of that name to appear first.
    :param policy: from :meth:`WaitPolicy.to_json`.
    :param on_kill: what to do when a user ends the task: ``stop``, ``suspend`` or ``keep``.
    :param min_defer_seconds: do not fire earlier than this after the start.
    :param show_timeline: keep the timeline in XCom, for the tab in Airflow.
    :param voice: whom to call when something happens, from ``voice_settings``.
    :param get_logs: what of the workload's log goes into the task's; see the operator.
    :param checkpoints: the fields of :class:`CheckpointRoot`, to follow the training's steps.
    """

    def __init__(
        self,
        runai_conn_id: str,
        workload: dict[str, Any],
        policy: dict[str, Any],
        on_kill: str = "stop",
        min_defer_seconds: float = 10.0,
        show_timeline: bool = True,
        voice: dict[str, Any] | None = None,
        get_logs: str = "off",
        checkpoints: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's constructor has no annotations
        self.runai_conn_id = runai_conn_id
        self._given = _shared(tuple(workload))
        self.policy = _one_for_all(json.dumps(policy))
        self.kill_action = on_kill
        self.min_defer_seconds = min_defer_seconds
        self.show_timeline = show_timeline
        self.voice = voice
        self.get_logs = get_logs
        interval = WaitPolicy.from_json(policy).poll_interval
        self._start = Workload.from_json(workload)
        self._log_facts: LogFacts | None = None
        self._tail: LogTail | None = None
        if get_logs != OFF:
            self._tail = LogTail(runai_conn_id, self._start, get_logs, interval, self._show_log)
        self._is_over = False
        self.checkpoints = checkpoints
        self._steps = Steps(CheckpointRoot(**checkpoints), self._tell) if checkpoints else None
        self._company = Company(())

    @property
    def workload(self) -> dict[str, Any]:
        """What was given: made anew, because thousands of triggers would keep it twice."""
        return {name: getattr(self._start, name) for name in self._given}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "runai_conn_id": self.runai_conn_id,
                "workload": self.workload,
                "policy": self.policy,
                "on_kill": self.kill_action,
                "min_defer_seconds": self.min_defer_seconds,
                "show_timeline": self.show_timeline,
                "voice": self.voice,
                "get_logs": self.get_logs,
                "checkpoints": self.checkpoints,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        self._company = Company(self._companions())
        earliest = asyncio.get_running_loop().time() + self.min_defer_seconds
        try:
            outcome = await self._wait()
        finally:
            self._is_over = True
            self._company.close()
            self._leave_timeline_to_task()  # a companion may have shown something just now
        outcome = replace(outcome, log=self._tail.rest() if self._tail else {})
        await asyncio.sleep(max(0.0, earliest - asyncio.get_running_loop().time()))
        yield TriggerEvent(outcome.to_event())

    def _companions(self) -> list[Companion]:
        name = self._start.name
        why = LongWait(self.runai_conn_id, self._start, self._tell_reasons)
        logs = [self._tail] if self._tail else []
        steps = [self._steps] if self._steps else []
        return [*logs, why, *steps, *companions_of(self.voice, name)]

    async def _wait(self) -> Outcome:
        start, policy = self._start, WaitPolicy.from_json(self.policy)
        last_error = ""
        while True:
            try:
                async with session(self.runai_conn_id) as joined:
                    if not start.id:
                        found = await self._appeared(joined, policy)
                        if isinstance(found, Outcome):
                            return found
                        start = found
                    with joined.watched(start, policy.poll_interval, self._published) as reader:
                        try:
                            waiting = wait(policy, reader, start, steps=self._steps)
                            return await joined.run(waiting, self._report)
                        finally:
                            self._leave_timeline_to_task()
            except (RunaiError, AirflowException, AirflowRuntimeError, OSError) as error:
                # Ending here would make Airflow fail the try, and nothing is known about the
                # workload.
                if str(error) != last_error:
                    last_error = str(error)
                    log.warning(
                        "connection %s cannot be used (%s); trying again",
                        self.runai_conn_id,
                        last_error,
                    )
                await asyncio.sleep(policy.poll_interval)

    async def _appeared(self, joined: Session, policy: WaitPolicy) -> Workload | Outcome:
        find = partial(newest_named, joined.backend, self._start)
        return await joined.run(appearance(policy, find, self._start), self._report)

    async def _report(self, notice: Notice) -> None:
        self._tell(notice)
        self._company.hear(notice)

    def _tell(self, notice: Notice) -> None:
        if notice.text:
            log.info("%s", notice.text)
        if notice.kind in ("timeline", "progress"):
            self._publish(notice.data)

    def _tell_reasons(self, lines: Sequence[str], news: Mapping[str, Any]) -> None:
        for line in lines:
            log.info("%s", line)
        self._publish(news)

    def _show_log(self, news: Mapping[str, Any], end: LogEnd, is_urgent: bool) -> None:
        self._log_facts = self._log_facts or LogFacts()
        self._log_facts.add(*end)
        self._publish(news, is_urgent=is_urgent)

    def _publish(self, news: Mapping[str, Any], *, is_urgent: bool = True) -> None:
        if self._is_over:
            return  # the task writes the end, and nothing older may follow it
        if self._tail is not None:
            self._tail.published(news)
        if self._log_facts is not None:
            news = self._log_facts.beside(news)
        if self.show_timeline and self.task_instance is not None:
            published_timelines().publish(self._task(), news, is_urgent=is_urgent)

    def _leave_timeline_to_task(self) -> None:
        """Write no more: the task writes the end, and nothing older may follow it."""
        if self.task_instance is not None:
            published_timelines().forget(self._task())

    def _published(self) -> Flow[tuple[Moment, ...]]:
        """Return the timeline that Airflow shows already: the server may have none for us."""
        if self.task_instance is None:
            return ()
        return (yield from published_timelines().fetch(self._task()))

    def _task(self) -> TaskAddress:
        ti: Any = self.task_instance
        return TaskAddress(ti.dag_id, ti.task_id, ti.run_id, ti.map_index)

    async def on_kill(self) -> None:
        """
        End the workload if a user has ended the task.

        Airflow cancels this method after about a second, hence the shielded task. It also calls it
        for triggers that merely moved to another triggerer, so Airflow is asked first.
        """
        if self.kill_action == "keep" or self.task_instance is None:
            return
        # Where a suspension ends the wait, a late call must not delete a workload that a person
        # suspended.
        spare_suspended = self.policy.get("when_suspended") == "end"
        kill = Kill(
            self.task_instance, self.runai_conn_id, self._start, self.kill_action, spare_suspended
        )
        ending = asyncio.create_task(kill.until_done())
        _BACKGROUND.add(ending)
        ending.add_done_callback(_BACKGROUND.discard)
        await asyncio.shield(ending)

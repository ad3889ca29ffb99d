"""
The wait for a workload, on the triggerer: no worker slot is held, for weeks if need be.

It defends itself against what Airflow 3.3 does (each observed, see ``docs/waiting.md``): it never
fires within the first seconds, it never ends because something could not be reached, its
``on_kill`` asks Airflow whether the task is really finished before it touches the workload, and
does so in a task of its own that outlives its own cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_runai.backends import control_plane
from airflow_runai.core.decision import Timeouts, WaitPolicy
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.core.outcome import Outcome, moments_from_json
from airflow_runai.core.timeline import Moment
from airflow_runai.core.waiting import Read, appearance, wait
from airflow_runai.core.workload import Workload
from airflow_runai.errors import RunaiError, Unauthorized
from airflow_runai.hooks.sessions import Session, session
from airflow_runai.tasks.kill import Kill

TIMELINE_KEY = "runai_timeline"

#: Strong references: the event loop itself keeps only weak ones to its tasks.
_BACKGROUND: set[asyncio.Task[None]] = set()


class RunaiWorkloadTrigger(BaseTrigger):
    """
    Waits until a workload ends, then fires once with :meth:`Outcome.to_event`.

    All parameters are plain JSON, because they are stored in Airflow's database; secrets are not
    among them.

    :param workload: identity of the workload (``id, name, project_id, cluster_id, kind,
        created_at``); with an empty id it waits for one of that name to appear first.
    :param policy: the fields of :class:`WaitPolicy` as plain JSON.
    :param on_kill: what to do when a user ends the task: ``stop``, ``suspend`` or ``keep``.
    :param min_defer_seconds: do not fire earlier than this after the start.
    :param show_timeline: keep the timeline in XCom, for the tab in Airflow.
    """

    def __init__(
        self,
        runai_conn_id: str,
        workload: dict[str, Any],
        policy: dict[str, Any],
        on_kill: str = "stop",
        min_defer_seconds: float = 10.0,
        show_timeline: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's constructor has no annotations
        self.runai_conn_id = runai_conn_id
        self.workload = workload
        self.policy = policy
        self.kill_action = on_kill
        self.min_defer_seconds = min_defer_seconds
        self.show_timeline = show_timeline

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
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        earliest = asyncio.get_running_loop().time() + self.min_defer_seconds
        outcome = await self._wait()
        await asyncio.sleep(max(0.0, earliest - asyncio.get_running_loop().time()))
        yield TriggerEvent(outcome.to_event())

    async def _wait(self) -> Outcome:
        start, policy, told = workload_from_json(self.workload), policy_from_json(self.policy), ""
        while True:
            try:
                async with session(self.runai_conn_id) as joined:
                    return await self._wait_with(joined, policy, start)
            except (RunaiError, AirflowException, AirflowRuntimeError, OSError) as error:
                # Ending here would make Airflow fail the try, and nothing is known about the
                # workload.
                if str(error) != told:
                    told = str(error)
                    self.log.warning(
                        "connection %s cannot be used (%s); trying again", self.runai_conn_id, told
                    )
                await asyncio.sleep(policy.poll_interval)

    async def _wait_with(self, joined: Session, policy: WaitPolicy, start: Workload) -> Outcome:
        async with joined.reads(start.project_id, policy.poll_interval / 2) as shared:
            if not start.id:
                found = await joined.run(
                    appearance(policy, control_plane.finder(start), start), self._tell
                )
                if isinstance(found, Outcome):
                    return found
                start = found
            sight = replace(control_plane.eyes(start), read=_not_for_ever_refused(shared.read))
            return await joined.run(wait(policy, sight, start, await self._shown()), self._tell)

    async def _tell(self, news: Notice) -> None:
        self.log.info("%s", news.text)
        if news.kind == "timeline" and self.show_timeline:
            await self._publish(news.data)

    async def _shown(self) -> tuple[Moment, ...]:
        """Return the timeline that Airflow shows already: a server may keep no history, or not show it to us."""
        # Imported here: it pulls in the worker's machinery, which DAG parsing does not need.
        from airflow.sdk.execution_time.xcom import XCom

        ti = self.task_instance
        if ti is None:
            return ()
        where = {
            "dag_id": ti.dag_id,
            "task_id": ti.task_id,
            "run_id": ti.run_id,
            "map_index": ti.map_index,
        }
        try:
            return moments_from_json(await XCom.aget_one(key=TIMELINE_KEY, **where))
        except Exception as error:
            self.log.warning("the timeline that was shown could not be read: %s", error)
            return ()

    async def _publish(self, data: Mapping[str, Any]) -> None:
        """Show the timeline live in Airflow. That it cannot be shown must never end the wait."""
        # Imported here: it pulls in the worker's machinery, which DAG parsing does not need.
        from airflow.sdk.execution_time.xcom import XCom

        ti = self.task_instance
        if ti is None:
            return
        where = {
            "dag_id": ti.dag_id,
            "task_id": ti.task_id,
            "run_id": ti.run_id,
            "map_index": ti.map_index,
        }
        try:
            await XCom.aset(key=TIMELINE_KEY, value=dict(data), **where)
        except Exception as error:
            self.log.warning("the timeline could not be shown: %s", error)

    async def on_kill(self) -> None:
        """
        End the workload if a user has ended the task.

        Airflow cancels this method after about a second, hence the shielded task; and it calls it
        for triggers that merely moved to another triggerer, hence the question to Airflow first.
        """
        if self.kill_action == "keep" or self.task_instance is None:
            return
        # Where a suspension ends the wait, a call that comes late must not delete what a person
        # suspended.
        spare_suspended = self.policy.get("when_suspended") == "end"
        workload = workload_from_json(self.workload)
        kill = Kill(
            self.task_instance, self.runai_conn_id, workload, self.kill_action, spare_suspended
        )
        ending = asyncio.create_task(kill.until_done())
        _BACKGROUND.add(ending)
        ending.add_done_callback(_BACKGROUND.discard)
        await asyncio.shield(ending)


class _RefusedAgain(RunaiError):
    """The control plane goes on refusing client id and secret."""


def _not_for_ever_refused(read: Read) -> Read:
    """
    Let a wait survive one refused login, but not two in a row: the connection has to be read anew.

    Secrets are rotated while a training runs for weeks. The first refusal stays within the wait, so
    that its timeouts are looked at even then.
    """
    refused = False

    def look(workload_id: str) -> Flow[Workload]:
        nonlocal refused
        try:
            found = yield from read(workload_id)
        except Unauthorized as error:
            if refused:
                raise _RefusedAgain(str(error)) from error
            refused = True
            raise
        refused = False
        return found

    return look


def workload_to_json(workload: Workload) -> dict[str, Any]:
    """Return what a wait needs to know of a workload, as plain JSON."""
    kept = ("id", "name", "project_id", "cluster_id", "kind", "created_at", "phase")
    return {key: getattr(workload, key) for key in kept}


def workload_from_json(value: Mapping[str, Any]) -> Workload:
    """Inverse of :func:`workload_to_json`."""
    return Workload(**value)


def policy_to_json(policy: WaitPolicy) -> dict[str, Any]:
    """Return a policy as plain JSON."""
    timeouts = {key: value for key, value in asdict(policy.timeouts).items() if value is not None}
    return {**asdict(policy), "timeouts": timeouts}


def policy_from_json(value: Mapping[str, Any]) -> WaitPolicy:
    """Inverse of :func:`policy_to_json`."""
    return WaitPolicy(**{**value, "timeouts": Timeouts(**value.get("timeouts", {}))})

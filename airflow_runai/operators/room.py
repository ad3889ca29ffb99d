"""The part of an operator that waits until there is room, before it submits anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_runai.backends.patience import Patience
from airflow_runai.core.flow import now
from airflow_runai.core.naming import TaskIdentity
from airflow_runai.core.note import Note
from airflow_runai.core.slots import RunSlots
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.deployment import configuration
from airflow_runai.operators.payload import PayloadOperator
from airflow_runai.tasks.argument_checks import check_room_arguments
from airflow_runai.tasks.room_wait import RoomWait, need_of
from airflow_runai.tasks.slot_claim import SlotClaim
from airflow_runai.tasks.try_identity import identity
from airflow_runai.tasks.wait_policy import room_timeout
from airflow_runai.triggers.room import RunaiRoomTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.core.project import Project
    from airflow_runai.hooks.runai import RunaiHook
    from airflow_runai.tasks.worker_stop import StopSignal


class RoomOperator(PayloadOperator):
    """
    Base of operators that may wait for room.

    :param submit_when: ``now``; or only when the workload fits into what its project is guaranteed
        and does not use (``quota``), or when enough GPUs are held by nobody (``idle``); see
        ``docs/room.md``.
    :param max_live: workloads of this task in one run that may live at the same time, those that
        crashed workers and ended tasks have left included; ``None`` for any number.
    :param max_live_with: ids of other tasks of the run, whose workloads count, too.
    """

    poll_interval: float | None
    _stop_signal: StopSignal
    #: What the trigger says that waited for room.
    _turn: Mapping[str, Any] | None = None
    _claim: SlotClaim | None = None

    def __init__(
        self,
        *,
        submit_when: str = "now",
        max_live: int | None = None,
        max_live_with: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.submit_when = submit_when
        self.max_live, self.max_live_with = max_live, max_live_with

    def _check_room(self) -> None:
        check_room_arguments(self.submit_when, self.timeouts, self.max_live, self.max_live_with)

    def _await_room(
        self,
        context: Context,
        hook: RunaiHook,
        project: Project,
        spec: WorkloadSpec,
        note: Note | None,
        name: str,
    ) -> None:
        """Return when there is room for a new workload; defer until then, or wait here."""
        task = identity(context, note)
        slots = self._slots(task)
        need = need_of(spec, self.submit_when, slots)
        if need is None:
            return
        timeout, sleep = room_timeout(self.timeouts), self._stop_signal.sleep
        patience = configuration.seconds("submission_patience")
        wait = RoomWait(
            hook,
            project,
            node_pool=spec.node_pools[0] if spec.node_pools and len(spec.node_pools) == 1 else None,
            need=need,
            digest=task.digest(),
            claim=SlotClaim(context, slots, name, patience, sleep) if slots else None,
            turn=self._turn,
            interval=self.poll_interval or configuration.seconds("poll_interval"),
            timeout=math.inf if timeout is None else timeout,
            patience=Patience(patience),
            sleep=sleep,
        )
        if not configuration.deferrable(self.deferrable):
            wait.wait_here()
        elif (since := wait.waits_since()) is not None:
            self._defer_until_room(wait, since)
        self._claim = wait.claim

    def _slots(self, task: TaskIdentity) -> RunSlots | None:
        if self.max_live is None:
            return None
        tasks = tuple(sorted({task.task_id, *self.max_live_with}))
        origin = (task.instance, task.dag_id, task.run_id)
        return RunSlots(self.max_live, *origin, tasks, configuration.max_map_length())

    def _settle_claim(self, hook: RunaiHook) -> None:
        """Give up the claim of a slot: the workload holds it now, or there is none."""
        claim, self._claim = self._claim, None
        if claim is None:
            return
        try:
            claim.settle(hook.run(now()))
        except Exception as error:
            # It must not cost the workload that exists now.
            self.log.warning("the claim of a slot ends only by its time (%s)", error)

    def _defer_until_room(self, wait: RoomWait, since: float) -> None:
        self.defer(
            trigger=RunaiRoomTrigger(
                runai_conn_id=wait.hook.runai_conn_id,
                project=asdict(wait.project),
                need=wait.need.to_json(),
                since=since,
                digest=wait.digest,
                node_pool=wait.node_pool,
                poll_interval=wait.interval,
                deadline=None if wait.timeout == math.inf else since + wait.timeout,
                min_defer_seconds=configuration.seconds("min_defer_seconds"),
            ),
            method_name="execute_in_turn",
            timeout=None,
        )

    def execute_in_turn(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Begin again when the trigger has let this task go."""
        self._turn = event
        try:
            return self.execute(context)
        finally:
            self._turn = None  # `dag.test` runs several tries in one process

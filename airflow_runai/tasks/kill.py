"""Ending a workload because a user ended its task: only after Airflow has said so, and until it is done."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from airflow_runai.backends import control_plane
from airflow_runai.backends.termination import present
from airflow_runai.core.decision import ABSENCE_SECONDS
from airflow_runai.core.flow import now
from airflow_runai.core.phases import OVER, Meaning
from airflow_runai.core.task_states import FINISHED_TASK_STATES
from airflow_runai.core.workload import Workload
from airflow_runai.hooks.sessions import session

log = logging.getLogger(__name__)

#: Pauses (seconds) between two attempts of a kill grow from the first to the last.
FIRST_PAUSE, MAX_PAUSE = 1.0, 300.0


@dataclass
class Kill:
    """
    What remains to be done for a trigger that was canceled.

    :param ti: the trigger's task instance.
    :param action: ``stop`` or ``suspend``.
    :param spare_suspended: leave a workload alone that is suspended: its task ended because a
        person suspended it.
    """

    ti: Any
    runai_conn_id: str
    workload: Workload
    action: str
    spare_suspended: bool
    absent_since: float | None = None

    async def until_done(self) -> None:
        """Try until the workload is seen to have ended, or its task to live; the pauses grow."""
        pause, told = FIRST_PAUSE, ""
        while True:
            try:
                if done := await self._attempt():
                    log.info("%s", done)
                    return
            except Exception as error:
                # Whatever it is may pass; a workload that nobody waits for does not.
                if str(error) != told:
                    told = str(error)
                    log.warning(
                        "workload %s could not be ended (%s); trying again",
                        self.workload.name,
                        told,
                    )
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def _attempt(self) -> str | None:
        """Look, and send one call if that is called for; return why there is nothing left to do."""
        if lives := await self._still_lives():
            return lives
        async with session(self.runai_conn_id) as joined:
            found = await joined.run(present(self.workload))
            if found is None:
                return self._absent(await joined.run(now()))
            self.absent_since = None
            if settled := self._settled(found):
                return settled
            # The look may have taken long, and a task that was cleared meanwhile adopts this
            # workload.
            if lives := await self._still_lives():
                return lives
            call = control_plane.delete if self.action == "stop" else control_plane.suspend
            await joined.run(call(found))
        log.info("workload %s: its task has ended; told Run:ai to %s it", found.name, self.action)
        return None  # an accepted call may still be lost: the next look tells

    async def _still_lives(self) -> str | None:
        state = await _task_state(self.ti)
        if state not in FINISHED_TASK_STATES:
            return f"the task is {state}: its workload {self.workload.name} goes on"
        return None

    def _absent(self, at: float) -> str | None:
        self.absent_since = at if self.absent_since is None else self.absent_since
        if at - self.absent_since < ABSENCE_SECONDS:
            return None
        return f"workload {self.workload.name} has not been seen for {ABSENCE_SECONDS:.0f} s: it is gone"

    def _settled(self, found: Workload) -> str | None:
        if found.meaning in OVER:
            return f"workload {found.name} is {'deleted' if found.deleted else found.phase}"
        if found.meaning is Meaning.SUSPENDED and (
            self.action == "suspend" or self.spare_suspended
        ):
            return f"workload {found.name} is {found.phase}: left as it is"
        return None


async def _task_state(ti: Any) -> str | None:
    # Imported here: the worker's machinery is not needed to parse a DAG.
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    question = GetTaskStates(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    answer = await task_runner.SUPERVISOR_COMMS.asend(question)
    states = getattr(answer, "task_states", None)
    if states is None:
        raise RuntimeError(
            f"Airflow was asked for the task's state, and answered with {type(answer).__name__}"
        )
    # The key is the task id, or "<task_id>_<map_index>" for a mapped task.
    return next((state and str(state) for state in states.get(ti.run_id, {}).values()), None)

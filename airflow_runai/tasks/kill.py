"""
Ending a workload because a user ended its task.

Nothing is sent before Airflow confirms that the task has ended; then it is tried until it is done.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from airflow_runai.backends.suspension import ADVICE
from airflow_runai.backends.termination import present
from airflow_runai.core.decision import ABSENCE_SECONDS
from airflow_runai.core.flow import now
from airflow_runai.core.phases import OVER, Meaning
from airflow_runai.core.task_states import FINISHED_TASK_STATES
from airflow_runai.core.workload import Workload
from airflow_runai.deployment.metrics import count
from airflow_runai.deployment.task_states import task_state_in_trigger
from airflow_runai.hooks.sessions import session

log = logging.getLogger(__name__)

#: Pauses (seconds) between two attempts of a kill grow from the first to the last.
FIRST_PAUSE, MAX_PAUSE = 1.0, 300.0
#: What so many suspensions have not changed does not react to them: then that is said, once.
_MANY_CALLS = 5


@dataclass
class Kill:
    """
    What remains to be done for a trigger that was canceled.

    :param ti: the trigger's task instance.
    :param action: ``stop`` or ``suspend``.
    :param spare_suspended: leave a workload alone that is suspended: its task ended because a
        person suspended it.
    :param calls: how often it was told to end.
    """

    ti: Any
    runai_conn_id: str
    workload: Workload
    action: str
    spare_suspended: bool
    absent_since: float | None = None
    calls: int = 0

    async def until_done(self) -> None:
        """Try, with growing pauses, until the workload has ended or its task turns out to live."""
        pause, last_error = FIRST_PAUSE, ""
        while True:
            try:
                if done := await self._attempt():
                    log.info("%s", done)
                    return
            except Exception as error:
                # Whatever it is, it may pass; a workload that no task awaits does not.
                if str(error) != last_error:
                    last_error = str(error)
                    log.warning(
                        "workload %s could not be ended (%s); trying again",
                        self.workload.name,
                        last_error,
                    )
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def _attempt(self) -> str | None:
        """Look, and send one call if one is needed; return why nothing is left to do."""
        if lives := await self._still_lives():
            return lives
        async with session(self.runai_conn_id) as joined:
            workload = await joined.run(present(joined.backend, self.workload))
            if workload is None:
                return self._absent(await joined.run(now()))
            self.absent_since = None
            # The look may have taken long, and a task that was cleared meanwhile adopts this
            # workload.
            if reason := self._settled(workload) or await self._still_lives():
                return reason
            backend = joined.backend
            call = backend.delete if self.action == "stop" else backend.suspend
            await joined.run(call(workload))
            count("runai.kills", by="trigger")
        self.calls += 1
        if self.calls == _MANY_CALLS and self.action == "suspend":
            log.warning("workload %s is still %s; %s", workload.name, workload.phase, ADVICE)
        log.info("workload %s: its task has ended; asked to %s it", workload.name, self.action)
        return None  # an accepted call may still be lost: the next look tells

    async def _still_lives(self) -> str | None:
        state = await task_state_in_trigger(self.ti)
        if state not in FINISHED_TASK_STATES:
            return f"the task is {state}: its workload {self.workload.name} goes on"
        return None

    def _absent(self, at: float) -> str | None:
        self.absent_since = at if self.absent_since is None else self.absent_since
        if at - self.absent_since < ABSENCE_SECONDS:
            return None
        name, seconds = self.workload.name, ABSENCE_SECONDS
        return f"workload {name} has not been seen for {seconds:.0f} s: it is gone"

    def _settled(self, workload: Workload) -> str | None:
        if workload.meaning in OVER:
            return (
                f"workload {workload.name} is {'deleted' if workload.deleted else workload.phase}"
            )
        may_stay_suspended = self.action == "suspend" or self.spare_suspended
        if workload.meaning is Meaning.SUSPENDED and may_stay_suspended:
            return f"workload {workload.name} is {workload.phase}: left as it is"
        return None

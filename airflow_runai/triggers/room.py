"""
The wait for room in a project, on the triggerer: many wait, one of them looks, a few go at a time.

Nothing was submitted yet, so a user who ends the task leaves nothing behind: there is no
``on_kill`` here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_runai.core.flow import Notice
from airflow_runai.core.project import Project
from airflow_runai.core.room import Need, ProjectRoom
from airflow_runai.core.waiting_line import PROMISE, Ticket
from airflow_runai.errors import NotResolved, RunaiError
from airflow_runai.hooks.sessions import one_per_loop, session
from airflow_runai.tasks.turnstiles import Turnstiles, room_event

log = structlog.get_logger(logger_name=__name__)


class RunaiRoomTrigger(BaseTrigger):
    """
    Wait until a project has room and it is this task's turn, then fire once.

    All parameters are plain JSON, because they are stored in Airflow's database; secrets are not
    among them. The event is ``{"since": …, "figures": …}``; the figures are ``None`` after the
    deadline, and if the worker has to find out what is wrong.

    :param project: the fields of :class:`Project`.
    :param need: the fields of :class:`Need`.
    :param since: epoch seconds at which the task began to wait; the first comes first.
    :param digest: of the task, by which its workload is known.
    :param takes: whether the task will take the GPUs; a sensor only asks.
    :param node_pool: count only the GPUs of this pool.
    :param poll_interval: seconds between looks.
    :param deadline: epoch seconds after which the wait ends; ``None`` for never.
    :param min_defer_seconds: do not fire earlier than this after the start.
    """

    def __init__(
        self,
        runai_conn_id: str,
        project: dict[str, Any],
        need: dict[str, Any],
        since: float,
        digest: str = "",
        takes: bool = True,
        node_pool: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        min_defer_seconds: float = 10.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's constructor has no annotations
        self.runai_conn_id = runai_conn_id
        self.project = project
        self.need = need
        self.since = since
        self.digest = digest
        self.takes = takes
        self.node_pool = node_pool
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.min_defer_seconds = min_defer_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "runai_conn_id": self.runai_conn_id,
                "project": self.project,
                "need": self.need,
                "since": self.since,
                "digest": self.digest,
                "takes": self.takes,
                "node_pool": self.node_pool,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "min_defer_seconds": self.min_defer_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        # At first, and not at the end: whoever may go shall go at once.
        await asyncio.sleep(self.min_defer_seconds)
        found = await self._wait()
        yield TriggerEvent(room_event(self.since, found))

    async def _wait(self) -> ProjectRoom | None:
        last_error = ""
        while True:
            try:
                return await self._turn()
            except (RunaiError, AirflowException, AirflowRuntimeError, OSError) as error:
                if isinstance(error, NotResolved):
                    return None  # its worker finds that, too, and says so
                # Ending here would make Airflow fail the try, and nothing is known about the room.
                if str(error) != last_error:
                    last_error = str(error)
                    log.warning(
                        "connection %s cannot be used (%s); trying again",
                        self.runai_conn_id,
                        last_error,
                    )
                await asyncio.sleep(self.poll_interval)

    async def _turn(self) -> ProjectRoom | None:
        project, need = Project(**self.project), Need.from_json(self.need)
        ticket = Ticket(self.digest, need, self.since, self.takes)
        turnstile = one_per_loop(Turnstiles).of(self.runai_conn_id, project.id, self.node_pool)
        deadline = math.inf if self.deadline is None else self.deadline
        async with session(self.runai_conn_id) as joined:
            # Whoever was let go and has ended since keeps nobody waiting.
            look = partial(joined.backend.room, project, self.node_pool, PROMISE)
            waiting = turnstile.wait(ticket, look, self.poll_interval, deadline)
            found = await joined.run(waiting, _tell)
        return None if found and ticket.is_vain(found) else found


async def _tell(notice: Notice) -> None:
    log.info("%s", notice.text)

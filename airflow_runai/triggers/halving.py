"""
The wait at the gate of a rung, on the triggerer.

It only looks. Its worker creates the claim, because a trigger may run twice for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import structlog
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_runai.core.sweep.halving import WAIT
from airflow_runai.errors import CheckpointUnreadable, RunaiError
from airflow_runai.tasks.locations import storage_of
from airflow_runai.tasks.rung_files import Rung, RungMemory, RungQuery, rung_storage
from airflow_runai.triggers.checkpoint import in_thread

log = structlog.get_logger(logger_name=__name__)


class RunaiTrialGateTrigger(BaseTrigger):
    """
    Wait until a trial may go on or is out, then fire once.

    All parameters are plain JSON, because they are stored in Airflow's database; secrets are not
    among them. The event is ``{"decision": …}``; whoever gets it looks again.

    :param query: the fields of :class:`RungQuery`.
    :param storage: the arguments of ``rung_storage``.
    :param poll_interval: seconds between looks.
    :param min_defer_seconds: do not fire earlier than this after the start.
    """

    def __init__(
        self,
        query: dict[str, Any],
        storage: dict[str, Any],
        poll_interval: float,
        min_defer_seconds: float = 10.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's constructor has no annotations
        self.query = query
        self.storage = storage
        self.poll_interval = poll_interval
        self.min_defer_seconds = min_defer_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "query": self.query,
                "storage": self.storage,
                "poll_interval": self.poll_interval,
                "min_defer_seconds": self.min_defer_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then fire."""
        await asyncio.sleep(self.min_defer_seconds)
        yield TriggerEvent({"decision": await self._wait()})

    async def _wait(self) -> str:
        memory, last_error = RungMemory(), ""
        where = storage_of(self.storage["folder"], self.storage["path_map"])
        while True:
            decision = WAIT
            try:
                decision = await in_thread(lambda _: self._look(memory), where)
            except CheckpointUnreadable as error:
                if str(error) != last_error:
                    last_error = str(error)
                    log.warning("%s; still waiting", last_error)
            except RunaiError as error:
                return str(error)  # its worker finds that, too, and says so
            if decision != WAIT:
                return decision
            await asyncio.sleep(self.poll_interval)

    def _look(self, memory: RungMemory) -> str:
        with rung_storage(**self.storage) as folder:
            return Rung(RungQuery(**self.query), folder, memory).look()

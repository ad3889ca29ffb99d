"""Where a task that waits has the log of its workload from: the session that many waits share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from airflow_runai.core.flow import Flow
from airflow_runai.core.log_cursor import LogLine
from airflow_runai.core.log_lines import LogPosition
from airflow_runai.core.log_reader import LogPart, LogReader, UnmaskedPart
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Unreachable
from airflow_runai.hooks.sessions import ConnectionKey, one_per_loop, session
from airflow_runai.tasks.log_fetches import LogFetches
from airflow_runai.tasks.log_looks import LogLook

T = TypeVar("T")


class LogSource:
    """The log of one workload."""

    __slots__ = ("_connection", "_log", "_workload")

    def __init__(self, connection: ConnectionKey, workload: Workload) -> None:
        self._connection, self._workload = connection, workload
        # Of the first session that was joined: what it finds out is asked for only once.
        self._log: LogReader | None = None

    async def read(self, look: LogLook, seen: LogPosition | None) -> UnmaskedPart:
        """
        Read what a look finds.

        :param seen: how far the log was seen; ``None`` for its end alone.
        :raises Unreachable: at once, too, if the cluster could not be reached a moment ago.
        """
        fetches, cluster = one_per_loop(LogFetches), self._workload.cluster_id
        if reason := fetches.outage(cluster):
            raise Unreachable(f"its cluster could not be reached a moment ago: {reason}")
        try:
            return await self._run(lambda log: log.read(look.moment, seen, late=look.is_late))
        except Unreachable as error:
            if self._log and (reason := self._log.outage(error)):
                fetches.note_outage(cluster, reason)
            raise

    @property
    def is_of_gang(self) -> bool:
        """Whether several pods write it, each its own."""
        return self._workload.path == "distributed"

    @property
    def has_streams(self) -> bool:
        """Whether :meth:`listen` can do anything, as far as known."""
        return self._log is not None and self._log.has_streams

    async def listen(self, look: LogLook, take: Callable[[LogLine], None]) -> None:
        """Hand over each line that follows what :meth:`read` has read, until its pod has ended."""
        await self._run(lambda log: log.listen(look.moment, take))

    async def shown(self, found: UnmaskedPart) -> LogPart:
        """Return what was read as it may be shown."""
        return await self._run(lambda log: log.shown(found))

    async def _run(self, flow: Callable[[LogReader], Flow[T]]) -> T:
        async with session(self._connection) as joined:
            self._log = self._log or joined.backend.log(self._workload)
            return await joined.run(flow(self._log))

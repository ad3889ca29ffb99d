"""
How a wait reads its workload, whatever the platform.

A wait asks for the reading that follows the one it has. Whether somebody polls for it or a watcher
brings it, the wait does not know.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import Workload


class WorkloadReader(Protocol):
    """The ways in which a wait reads a workload, each a flow; this one polls."""

    __slots__ = ()

    def read(self, workload_id: str) -> Flow[Workload]:
        """Return the current reading; raises ``NotFound``."""

    def history(self, workload_id: str) -> Flow[tuple[Moment, ...]]:
        """Return what the server remembers; empty where it keeps nothing."""

    def find_deleted(self, workload_id: str) -> Flow[Workload | None]:
        """Return the workload among the deleted ones, or ``None``."""

    def following(self, last: Workload, seconds: float, pace: Sleep) -> Flow[Workload]:
        """
        Return the reading after ``last``; raises what :meth:`read` raises.

        :param last: the reading that the wait has; without a phase before the first one.
        :param seconds: at the latest after this time, at least 0; infinite if only news matter.
        :param pace: the pause of a reader that polls.
        """
        yield replace(pace, seconds=min(pace.seconds, seconds))
        return (yield from self.read(last.id))

    def published(self) -> Flow[tuple[Moment, ...]]:
        """Return the timeline that an earlier wait has published, for servers without history."""
        yield from ()
        return ()

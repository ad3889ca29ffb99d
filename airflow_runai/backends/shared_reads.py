"""
One list call serves many waits.

If each wait read its own workload, a hundred waits on one project would make a hundred calls per
interval. Those that share a :class:`SharedReads` take their reading from one list of the project's
unfinished workloads instead, as long as that list is young enough. A workload that is not in the
list (finished, lagging, on a moved page, or the list is refused) is read by itself, so a wrong list
costs calls, never a wrong reading; and a broken row hurts only the wait that it belongs to.

No locks of threads: all flows of one event loop run between their ``yield`` s without interruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.backends import control_plane
from airflow_runai.core.flow import Flow, Lock, now
from airflow_runai.core.phases import FINAL
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Refused, Unreachable

#: With fewer waits than this, single reads are cheaper than a list.
MIN_WAITS = 3


class SharedReads:
    """
    The newest list of one project's unfinished workloads.

    :param max_age: seconds for which a list serves further reads.
    """

    def __init__(self, project_id: str, max_age: float) -> None:
        self._project_id = project_id
        self._max_age = max_age
        self._waits = 0
        self._listed: Mapping[str, Workload] = {}
        self._listed_at = 0.0
        self._listing = Lock()

    def join(self) -> None:
        """Count one more wait."""
        self._waits += 1

    def leave(self) -> int:
        """Count one wait less; return how many are left."""
        self._waits -= 1
        return self._waits

    def read(self, workload_id: str) -> Flow[Workload]:
        """Read one workload; raises what :func:`control_plane.get` raises."""
        if self._waits < MIN_WAITS:
            return (yield from control_plane.get(workload_id))
        yield from self._listing.hold(self._refresh())
        workload = self._listed.get(workload_id)
        if workload is None or workload.meaning in FINAL:
            return (yield from control_plane.get(workload_id))
        return workload

    def _refresh(self) -> Flow[None]:
        # A clock that was set back must not keep an old list alive.
        if 0 <= (yield from now()) - self._listed_at < self._max_age:
            return
        try:
            self._listed = yield from self._list()
        except (Unreachable, Refused):
            # A list that fails says nothing about single reads: until the next one, each wait reads
            # by itself.
            self._listed = {}
        self._listed_at = yield from now()

    def _list(self) -> Flow[dict[str, Any]]:
        scope = f"projectId=={self._project_id},phase!=Completed,phase!=Failed"
        workloads = yield from control_plane.list_workloads([("filterBy", scope)])
        return {workload.id: workload for workload in workloads}

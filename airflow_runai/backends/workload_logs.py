"""A workload's log for people: its newest lines without secrets, and their node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_runai.backends.cluster_api import Clusters, download, log_address
from airflow_runai.backends.control_plane import get_whole
from airflow_runai.backends.log_parts import found_part, shown_part, without_secrets
from airflow_runai.backends.pods import pods_ever, pods_gone, pods_now
from airflow_runai.backends.redaction import Redaction
from airflow_runai.backends.throttle import HISTORY
from airflow_runai.core import mask
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.incarnations import leader, pods_at
from airflow_runai.core.log_lines import LogPosition, growth
from airflow_runai.core.log_reader import (
    LINES,
    WINDOW,
    LogPart,
    LogQuery,
    LogReader,
    LogText,
    UnmaskedPart,
)
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload, named_values
from airflow_runai.errors import NotFound, RunaiError, Unreachable

#: No answer, a gateway's, or the cluster asks to slow down: others need not try.
_OUTAGES = (0, 429, 502, 503, 504)


class WorkloadLog(LogReader):
    """
    Reads a log from its cluster, and what it takes to show it from the control plane.

    What the log says may hold what it was given: the values of variables that look like secrets are
    masked, as is the connection's secret. They are read from the control plane, and kept in memory
    only.
    """

    __slots__ = ("_address", "_clusters", "_node", "_redaction", "_workload")

    def __init__(self, workload: Workload, clusters: Clusters) -> None:
        self._workload, self._clusters = workload, clusters
        self._address = ""
        self._redaction: Redaction | None = None
        # At which moment it ran on which node: asked once for each incarnation.
        self._node = (0.0, "")

    @property
    def workload(self) -> Workload:
        """Whose log it is."""
        return self._workload

    def read(
        self, moment: float, seen: LogPosition | None = None, *, late: bool = False
    ) -> Flow[UnmaskedPart]:
        """Do the first half of a look."""
        query = LogQuery(tail=LINES if seen is None else WINDOW)
        if late:
            query = replace(query, pod=(yield from self._standing(moment)))
        yield from self._locate()
        at = moment if late else (yield from now())
        text = yield from self.text(query)
        found = growth(seen or LogPosition(), text.lines, is_whole=text.is_whole)
        return found_part(moment, at, text.lines, found)

    def outage(self, error: Unreachable) -> str:
        """Tell what keeps everybody from the logs of this cluster."""
        where, _, reason = str(error).partition(": ")
        # Not the control plane's, nor one workload's own trouble.
        return reason if "/cluster-api/" in where and error.status in _OUTAGES else ""

    def shown(self, found: UnmaskedPart) -> Flow[LogPart]:
        """Do the second half of a look, which holds up nothing that others ask for."""
        end = yield from self.masked(found.lines)
        moment = found.moment
        if found.new and self._node[0] != moment:
            # Since the log was read, the pod may have gone.
            present = yield from self._pods(moment, pods_now(self.workload.id, HISTORY))
            gone = pods_gone(self.workload.id, HISTORY)
            self._note_node(moment, present or (yield from self._pods(moment, gone)))
        return shown_part(found, end, self._node[1] if self._node[0] == moment else "")

    def text(self, query: LogQuery) -> Flow[LogText]:
        """Return lines as the server has them; not to be shown before :meth:`masked`."""
        yield from self._locate()
        return (yield from download(self._address, query))

    def _locate(self) -> Flow[None]:
        self._address = self._address or (yield from log_address(self._clusters, self.workload))

    def masked(self, lines: Sequence[str]) -> Flow[tuple[str, ...]]:
        """Return lines as they may be shown."""
        if self._redaction is None and lines:
            hidden = mask.values(_variables((yield from get_whole(self.workload, HISTORY))))
            self._redaction = Redaction(self._clusters.settings.client_secret, *hidden)
        return without_secrets(lines, self._redaction or Redaction())

    def _pods(
        self, moment: float, reading: Flow[list[Mapping[str, Any]]]
    ) -> Flow[list[Mapping[str, Any]]]:
        try:
            pods = yield from reading
        except RunaiError:
            return []  # it is only for the header
        return pods_at(pods, moment)

    def _standing(self, moment: float) -> Flow[str]:
        """Return the name of a pod that has ended, but is not gone: its log can be read."""
        pods = yield from self._pods(moment, pods_ever(self.workload.id))
        name = pods[0].get("name") if pods else None
        if not isinstance(name, str) or pods[0].get("deletedAt"):
            raise NotFound("the pod is gone", 404)
        self._note_node(moment, pods[:1])
        return name

    def _note_node(self, moment: float, pods: Sequence[Mapping[str, Any]]) -> None:
        """Note the node of the pod whose log is shown, if it is known which one that is."""
        if pods:
            self._node = (moment, cut(str(leader(pods).get("nodeName") or "")))


def _variables(workload: Mapping[str, Any]) -> list[tuple[str, Any]]:
    specs = [workload.get(part) for part in ("spec", "masterSpec")]
    return [
        pair
        for spec in specs
        if isinstance(spec, Mapping)
        for pair in named_values(spec.get("environmentVariables"))
    ]

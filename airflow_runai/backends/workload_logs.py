"""A workload's log for people: its newest lines without secrets, and their node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.backends.cluster_api import Clusters, download, log_address
from airflow_runai.backends.control_plane import get_whole
from airflow_runai.backends.log_parts import found_part, shown_part, without_secrets
from airflow_runai.backends.pods import pods_ever, pods_gone, pods_now
from airflow_runai.backends.redaction import Redaction
from airflow_runai.backends.throttle import HISTORY
from airflow_runai.core import mask
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.incarnations import has_started_since, leader, pods_at
from airflow_runai.core.log_lines import Growth, LogPosition, growth
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
from airflow_runai.errors import NotFound, Refused, RunaiError, Unreachable

#: No answer, a gateway's, or the cluster asks to slow down: others need not try.
_OUTAGES = (0, 429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class _KnownPod:
    """
    Whose log is read.

    :param moment: at which it ran.
    :param node: empty if it is not known which of several pods leads.
    """

    moment: float = 0.0
    name: str = ""
    node: str = ""


class WorkloadLog(LogReader):
    """
    Reads a log from its cluster, and what it takes to show it from the control plane.

    What the log says may hold what it was given: the values of variables that look like secrets are
    masked, as is the connection's secret. They are read from the control plane, and kept in memory
    only.

    A cluster that is asked for no certain pod chooses one, which may be the next incarnation's by
    then. The first look cannot wait for the pod's name, so it is checked afterwards. Later looks
    name the pod.
    """

    __slots__ = ("_address", "_clusters", "_pod", "_redaction", "_workload")

    def __init__(self, workload: Workload, clusters: Clusters) -> None:
        self._workload, self._clusters = workload, clusters
        self._address = ""
        self._redaction: Redaction | None = None
        # Asked for once for each incarnation.
        self._pod = _KnownPod()

    @property
    def workload(self) -> Workload:
        """Whose log it is."""
        return self._workload

    def read(
        self, moment: float, seen: LogPosition | None = None, *, late: bool = False
    ) -> Flow[UnmaskedPart]:
        """Do the first half of a look."""
        name = (yield from self._standing(moment)) if late else ""
        if late and not name:
            raise NotFound("the pod is gone", 404)
        if seen is not None and seen.marks and self._pod.moment == moment:
            name = self._pod.name
        yield from self._locate()
        at = yield from now()
        text, found = yield from self._compared(name, seen)
        if found.has_gap and not late:
            # What does not go on where the last look ended may be said by another pod.
            standing = yield from self._standing(moment)
            if standing and not name:
                name = standing
                text, found = yield from self._compared(name, seen)
        return found_part(moment, min(at, moment) if name else at, text.lines, found)

    def _compared(self, name: str, seen: LogPosition | None) -> Flow[tuple[LogText, Growth]]:
        query = LogQuery(tail=LINES if seen is None else WINDOW, pod=name or None)
        try:
            text = yield from self.text(query)
        except NotFound:
            self._pod = _KnownPod()
            raise
        return text, growth(seen or LogPosition(), text.lines, is_whole=text.is_whole)

    def outage(self, error: Unreachable) -> str:
        """Tell what keeps everybody from the logs of this cluster."""
        where, _, reason = str(error).partition(": ")
        # Not the control plane's, nor one workload's own trouble.
        return reason if "/cluster-api/" in where and error.status in _OUTAGES else ""

    def shown(self, found: UnmaskedPart) -> Flow[LogPart]:
        """Do the second half of a look, which holds up nothing that others ask for."""
        end = yield from self.masked(found.lines)
        moment = found.moment
        if found.new and self._pod.moment != moment:
            # Since the log was read, the pod may have gone.
            present = yield from self._listed(pods_now(self.workload.id, HISTORY))
            if has_started_since(moment, present, found.at):
                raise NotFound("the pod is gone, and another one was read", 404)
            gone = pods_gone(self.workload.id, HISTORY)
            self._note_pod(moment, present) or self._note_pod(
                moment, (yield from self._listed(gone))
            )
        return shown_part(found, end, self._pod.node if self._pod.moment == moment else "")

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

    def _listed(self, reading: Flow[list[Mapping[str, Any]]]) -> Flow[list[Mapping[str, Any]]]:
        try:
            return (yield from reading)
        except RunaiError:
            return []

    def _standing(self, moment: float) -> Flow[str]:
        """
        Return the name of the pod of a moment; empty if nobody knows it.

        :raises NotFound: if it is gone.
        """
        try:
            listed = yield from pods_ever(self.workload.id)
        except Refused:
            return ""
        pods = pods_at(listed, moment)
        if pods and pods[0].get("deletedAt"):
            raise NotFound("the pod is gone", 404)
        return self._pod.name if self._note_pod(moment, listed) else ""

    def _note_pod(self, moment: float, listed: Sequence[Mapping[str, Any]]) -> bool:
        """Note the pod of a moment, and its node; return whether it is among those listed."""
        pods = pods_at(listed, moment)
        if pods:
            name, node = pods[0].get("name"), leader(pods).get("nodeName")
            self._pod = _KnownPod(
                moment, name if isinstance(name, str) else "", cut(str(node or ""))
            )
        return bool(pods)


def _variables(workload: Mapping[str, Any]) -> list[tuple[str, Any]]:
    specs = [workload.get(part) for part in ("spec", "masterSpec")]
    return [
        pair
        for spec in specs
        if isinstance(spec, Mapping)
        for pair in named_values(spec.get("environmentVariables"))
    ]

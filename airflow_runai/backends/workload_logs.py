"""A workload's log for people: its newest lines without secrets, and their node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.backends.cluster_api import Clusters, LogQuery, download, log_address
from airflow_runai.backends.control_plane import get_whole
from airflow_runai.backends.pods import pods_ever
from airflow_runai.backends.redaction import Redaction
from airflow_runai.core import mask
from airflow_runai.core.flow import Flow
from airflow_runai.core.incarnations import pod_at
from airflow_runai.core.log_lines import LogPosition, cut_line, growth, newest
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload, named_values
from airflow_runai.errors import NotFound, RunaiError

#: Of one look into a log: lines, and characters of all of them, that are shown.
LINES, CHARACTERS = 100, 32_768
#: Lines of one look that are compared with the look before.
WINDOW = 1000
#: Characters of a line that are searched for secrets; none is shown beyond.
_SEARCHED = 4096


@dataclass(frozen=True, slots=True)
class LogPart:
    """
    What a look into a log shows.

    :param lines: masked.
    :param place: where the next look goes on.
    :param has_gap: lines before these may not have been seen.
    :param left_out: lines before these that were seen, and are too many to be shown.
    :param node: empty if it is not known.
    """

    lines: tuple[str, ...]
    place: LogPosition
    has_gap: bool = False
    left_out: int = 0
    node: str = ""

    def as_sentences(self, title: str) -> list[str]:
        """Return the lines of a task log; none if the part is empty."""
        if not self.lines:
            return []
        where = f" on {self.node}" if self.node else ""
        return [f"{title}{where}:", *(f"| {line}" for line in [*self._remarks(), *self.lines])]

    def _remarks(self) -> Iterator[str]:
        if self.has_gap:
            yield "(lines may be missing here)"
        if self.left_out:
            yield f"({self.left_out} more lines before these)"


class WorkloadLog:
    """
    Reads the log of one workload.

    What it says may hold what it was given: the values of variables that look like secrets are
    masked, as is the connection's secret. They are read from the control plane, and kept in memory
    only.
    """

    __slots__ = ("_address", "_redaction", "workload")

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._address = ""
        self._redaction: Redaction | None = None

    def look(
        self,
        clusters: Clusters,
        moment: float,
        seen: LogPosition | None = None,
        *,
        late: bool = False,
    ) -> Flow[LogPart]:
        """
        Return the end of the log, or what is new in it.

        :param moment: epoch seconds at which the incarnation ran.
        :param seen: how far it was seen; ``None`` for the end alone.
        :param late: the next incarnation has begun; so ask for the pod of that moment.
        :raises NotFound: if the log is gone with its pod.
        """
        query = LogQuery(tail=LINES if seen is None else WINDOW)
        pod: Mapping[str, Any] = {}
        if late:
            pod = yield from self._pod(moment)
            query = replace(query, pod=_standing(pod))
        # First of all: the pod may be about to go.
        new = growth(seen or LogPosition(), (yield from self.lines(clusters, query)))
        chosen = newest(new.lines, LINES, CHARACTERS)
        shown = yield from self.masked(clusters, chosen)
        pod = pod or (yield from self._pod(moment))
        node, left_out = cut(str(pod.get("nodeName") or "")), len(new.lines) - len(chosen)
        return LogPart(shown, new.place, new.has_gap, left_out, node)

    def lines(self, clusters: Clusters, query: LogQuery) -> Flow[list[str]]:
        """Return lines as the server has them; not to be shown before :meth:`masked`."""
        self._address = self._address or (yield from log_address(clusters, self.workload))
        return (yield from download(self._address, query))

    def masked(self, clusters: Clusters, lines: Sequence[str]) -> Flow[tuple[str, ...]]:
        """Return lines as they may be shown."""
        if self._redaction is None and lines:
            hidden = mask.values(_variables((yield from get_whole(self.workload))))
            self._redaction = Redaction(clusters.settings.client_secret, *hidden)
        redaction = self._redaction or Redaction()
        # The end of the line tells that a secret's first letters are not the rest of a cut one.
        texts = (redaction.text(line[:_SEARCHED] + "\n") for line in lines)
        return tuple(cut_line(text.removesuffix("\n")) for text in texts)

    def _pod(self, moment: float) -> Flow[Mapping[str, Any]]:
        try:
            pods = yield from pods_ever(self.workload.id)
        except RunaiError:
            return {}  # it is only for the header
        return pod_at(pods, moment)


def _standing(pod: Mapping[str, Any]) -> str:
    """Return the name of a pod that has ended, but is not gone: its log can be read."""
    name = pod.get("name")
    if not isinstance(name, str) or pod.get("deletedAt"):
        raise NotFound("the pod is gone", 404)
    return name


def _variables(workload: Mapping[str, Any]) -> list[tuple[str, Any]]:
    specs = [workload.get(part) for part in ("spec", "masterSpec")]
    return [
        pair
        for spec in specs
        if isinstance(spec, Mapping)
        for pair in named_values(spec.get("environmentVariables"))
    ]

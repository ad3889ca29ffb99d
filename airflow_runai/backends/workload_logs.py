"""A workload's log for people: its newest lines without secrets, and their node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.backends.cluster_api import (
    Clusters,
    LogQuery,
    LogText,
    download,
    log_address,
)
from airflow_runai.backends.control_plane import get_whole
from airflow_runai.backends.pods import pods_ever, pods_gone, pods_now
from airflow_runai.backends.redaction import Redaction
from airflow_runai.backends.throttle import HISTORY
from airflow_runai.core import mask
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.incarnations import leader, pods_at
from airflow_runai.core.log_lines import LINE_LIMIT, LogPosition, cut_line, growth, newest
from airflow_runai.core.texts import cut, plural
from airflow_runai.core.workload import Workload, named_values
from airflow_runai.errors import NotFound, RunaiError

#: Of one look into a log: lines, and characters of all of them, that are shown.
LINES, CHARACTERS = 100, 32_768
#: Lines of a log's end that are returned also if they are not new; the tab shows so many.
_END_LINES = 20
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
    :param end: the newest lines, seen before or not, masked.
    """

    lines: tuple[str, ...]
    place: LogPosition
    has_gap: bool = False
    left_out: int = 0
    node: str = ""
    end: tuple[str, ...] = ()

    def as_sentences(self, title: str) -> list[str]:
        """Return the lines of a task log; none if the part is empty."""
        if not self.lines:
            return []
        where = f" on {self.node}" if self.node else ""
        return [f"{title}{where}:", *(f"| {line}" for line in [*self._remarks(), *self.lines])]

    def whole_end(self) -> LogPart:
        """Return the newest lines as a part of their own, whether they were seen before or not."""
        return replace(self, lines=self.end, has_gap=False, left_out=0)

    def _remarks(self) -> Iterator[str]:
        if self.has_gap:
            yield "(lines may be missing here)"
        if self.left_out:
            yield f"({plural(self.left_out, 'more line')} before these)"


@dataclass(frozen=True, slots=True)
class UnmaskedPart:
    """
    What a look into a log has found; not to be shown yet.

    :param moment: epoch seconds at which the incarnation ran whose log it is meant to be.
    :param at: epoch seconds; it is the log of what ran or left then.
    :param lines: the newest ones, seen before or not.
    :param new: so many of them, from the end, are to be shown.
    :param part: what is to be shown, without its texts.
    """

    moment: float
    at: float
    lines: tuple[str, ...]
    new: int
    part: LogPart

    @property
    def characters(self) -> int:
        """How much memory it takes."""
        return sum(map(len, self.lines))


class WorkloadLog:
    """
    Reads the log of one workload.

    A look has two halves. The first is the download, which a pod that is about to go does not wait
    for. The second asks the control plane, which may take its time.

    What the log says may hold what it was given: the values of variables that look like secrets are
    masked, as is the connection's secret. They are read from the control plane, and kept in memory
    only.
    """

    __slots__ = ("_address", "_node", "_redaction", "workload")

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._address = ""
        self._redaction: Redaction | None = None
        # At which moment it ran on which node: asked once for each incarnation.
        self._node = (0.0, "")

    def look(
        self, clusters: Clusters, moment: float, seen: LogPosition | None = None
    ) -> Flow[LogPart]:
        """
        Return the end of the log, or what is new in it.

        :param moment: epoch seconds at which the incarnation ran.
        :param seen: how far it was seen; ``None`` for the end alone.
        :raises NotFound: if the log is gone with its pod.
        """
        found = yield from self.read(clusters, moment, seen)
        return (yield from self.shown(clusters, found))

    def read(
        self,
        clusters: Clusters,
        moment: float,
        seen: LogPosition | None = None,
        *,
        late: bool = False,
    ) -> Flow[UnmaskedPart]:
        """
        Do the first half of a look.

        :param late: the next incarnation has begun; so ask for the pod of that moment.
        """
        query = LogQuery(tail=LINES if seen is None else WINDOW)
        if late:
            query = replace(query, pod=(yield from self._standing(moment)))
        yield from self._locate(clusters)
        at = moment if late else (yield from now())
        text = yield from self.text(clusters, query)
        found = growth(seen or LogPosition(), text.lines, is_whole=text.is_whole)
        new = len(newest(found.lines, LINES, CHARACTERS, LINE_LIMIT))
        count = max(new, len(newest(text.lines, _END_LINES, CHARACTERS, LINE_LIMIT)))
        lines = tuple(line[:_SEARCHED] for line in (text.lines[-count:] if count else ()))
        left_out = len(found.lines) - new
        part = LogPart((), found.place, found.has_gap, left_out)
        return UnmaskedPart(moment, at, lines, new, part)

    def shown(self, clusters: Clusters, found: UnmaskedPart) -> Flow[LogPart]:
        """Do the second half of a look, which holds up nothing that others ask for."""
        end = yield from self.masked(clusters, found.lines)
        moment = found.moment
        if found.new and self._node[0] != moment:
            # Since the log was read, the pod may have gone.
            present = yield from self._pods(moment, pods_now(self.workload.id, HISTORY))
            gone = pods_gone(self.workload.id, HISTORY)
            self._note_node(moment, present or (yield from self._pods(moment, gone)))
        return replace(
            found.part,
            lines=end[-found.new :] if found.new else (),
            node=self._node[1] if self._node[0] == moment else "",
            end=end[-_END_LINES:],
        )

    def text(self, clusters: Clusters, query: LogQuery) -> Flow[LogText]:
        """Return lines as the server has them; not to be shown before :meth:`masked`."""
        yield from self._locate(clusters)
        return (yield from download(self._address, query))

    def _locate(self, clusters: Clusters) -> Flow[None]:
        self._address = self._address or (yield from log_address(clusters, self.workload))

    def masked(self, clusters: Clusters, lines: Sequence[str]) -> Flow[tuple[str, ...]]:
        """Return lines as they may be shown."""
        if self._redaction is None and lines:
            hidden = mask.values(_variables((yield from get_whole(self.workload, HISTORY))))
            self._redaction = Redaction(clusters.settings.client_secret, *hidden)
        redaction = self._redaction or Redaction()
        # The end of the line tells that a secret's first letters are not the rest of a cut one.
        texts = (redaction.text(line[:_SEARCHED] + "\n") for line in lines)
        return tuple(cut_line(text.removesuffix("\n")) for text in texts)

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

"""
A training's log for people, read from the pod that is meant: its newest lines, without secrets.

A look names the moment at which an incarnation ran, so it finds the pod of that time and no other,
as long as it exists. Lines are recognized by the times that the node gave them: none is shown twice
because another one says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from airflow_runai.backends.kubernetes.api.writes import Object
from airflow_runai.backends.kubernetes.logs.failed_members import last_words
from airflow_runai.backends.kubernetes.logs.log_follow import LogFollow
from airflow_runai.backends.kubernetes.logs.pod_log import PodLog, follow, tail
from airflow_runai.backends.kubernetes.logs.pod_source import PodSource
from airflow_runai.backends.kubernetes.logs.pods import (
    ended_at,
    facts_of,
    log_of,
    redaction_of,
    row_of,
)
from airflow_runai.backends.log_parts import found_part, shown_part, without_secrets
from airflow_runai.backends.redaction import Redaction
from airflow_runai.core.flow import Flow, Sleep, now
from airflow_runai.core.incarnations import pods_at
from airflow_runai.core.kubernetes.facts import NEVER
from airflow_runai.core.kubernetes.objects import moment as moment_at
from airflow_runai.core.kubernetes.objects import word
from airflow_runai.core.kubernetes.pod_facts import PodFacts
from airflow_runai.core.log_cursor import LogCursor, LogLine
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
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, Unreachable

#: No answer, a gateway's, or the server asks to slow down: others need not try.
_OUTAGES = (0, 429, 502, 503, 504)
#: Seconds. A pod that had ended this long before a moment may not be the one that ran then.
_SLACK = 2.0
#: Seconds of rest after each hundred lines of a stream, and how old these may be.
_BREATH, _BEHIND = 0.2, 30.0


class _FallenBehind(Exception):
    """More is written than is taken."""


class PodLogReader(LogReader):
    """
    Reads the logs of a training's pods.

    What a log says may hold what the pod was given: the values of variables that look like secrets
    are masked. They come with the pod, and are kept in memory only.
    """

    __slots__ = ("_cursor", "_node", "_read", "_redaction", "_source", "_workload")

    has_streams = True

    def __init__(self, workload: Workload, source: PodSource) -> None:
        self._workload, self._source = workload, source
        self._redaction = Redaction()
        # The log that a look has read, and the place after its last line.
        self._read: PodLog | None = None
        self._cursor = LogCursor("")
        # At which moment it ran on which node.
        self._node = (0.0, "")

    @property
    def workload(self) -> Workload:
        """Whose log it is."""
        return self._workload

    def read(
        self, moment: float, seen: LogPosition | None = None, *, late: bool = False
    ) -> Flow[UnmaskedPart]:
        """Do the first half of a look; the pod of a moment is the same, early or late."""
        pod, *others = yield from self._pods_at(moment)
        query = LogQuery(tail=LINES if seen is None else WINDOW)
        log = self._log(pod)
        end = yield from self._source.ask(tail(log, query))
        self._read = log
        self._cursor = end.lines[-1].cursor if end.lines else LogCursor(log.uid)
        self._node = (moment, cut(word(pod, "spec", "nodeName")))
        stamped = [line.stamped for line in end.lines]
        seen = seen or LogPosition()
        members = yield from last_words(self._source, others, seen.pods)
        found = growth(seen, stamped, is_whole=end.is_whole)
        place = replace(found.place, pods=(*seen.pods, *(one.pod for one in members)))
        texts = [line.text for line in end.lines]
        read = found_part(moment, moment, texts, replace(found, place=place))
        return replace(read, part=replace(read.part, members=members))

    def listen(self, moment: float, take: Callable[[LogLine], None]) -> Flow[None]:
        """Stay with the pod of a moment; a log goes with its pod, and its last words with it."""
        log, cursor = self._read, self._cursor
        if log is None or self._node[0] != moment:
            log = self._log((yield from self._pod_at(moment)))
            cursor = LogCursor(log.uid)
        heard = count(1)

        def hear(line: LogLine) -> Flow[None]:
            take(line)
            if next(heard) % LINES == 0:
                # One training that writes without end must not keep the others from the loop.
                yield Sleep(_BREATH)
                if (yield from now()) - line.cursor.at / 1e9 > _BEHIND:
                    raise _FallenBehind

        try:
            yield from self._source.ask(follow(log, cursor, hear))
        except _FallenBehind:
            return

    def outage(self, error: Unreachable) -> str:
        """Tell what keeps everybody from the logs of this cluster."""
        # With 500 a server says that one node does not answer.
        return str(error).partition(": ")[2] if error.status in _OUTAGES else ""

    def shown(self, found: UnmaskedPart) -> Flow[LogPart]:
        """Do the second half of a look, which asks for nothing here."""
        end = yield from self.masked(found.lines)
        return shown_part(found, end, self._node[1] if self._node[0] == found.moment else "")

    def text(self, query: LogQuery) -> Flow[LogText]:
        """Return lines as the server has them; not to be shown before :meth:`masked`."""
        if query.pod is None:
            pod = yield from self._pod_at((yield from now()))
        else:
            pod = yield from self._pod_named(query.pod)
        if query.previous:
            # No container starts again here; what ran before, ran in another pod.
            made = moment_at(pod, "metadata", "creationTimestamp") or 0.0
            pod = yield from self._pod_at(made - _SLACK / 2)
        end = yield from self._source.ask(tail(self._log(pod, query.container), query))
        return LogText(tuple(line.text for line in end.lines), end.is_whole)

    def follow(
        self, take: Callable[[Sequence[str]], Flow[None]], first: int | None = None
    ) -> Flow[bool]:
        """Hand over each line as it comes, over preemptions, until the training has ended."""
        yield from LogFollow(self._workload, self._source).run(take, first)
        return True

    def masked(self, lines: Sequence[str]) -> Flow[tuple[str, ...]]:
        """Return lines as they may be shown, once a log was read."""
        yield from ()
        return without_secrets(lines, self._redaction)

    def _log(self, pod: Object, container: str | None = None) -> PodLog:
        self._redaction = redaction_of(pod)
        return log_of(pod, container)

    def _pod_named(self, name: str) -> Flow[Object]:
        for pod in (yield from self._source.pods(self._workload)):
            if word(pod, "metadata", "name") == name:
                return pod
        raise NotFound(f"pod {cut(name)!r}: {self._workload.name} has no such pod", 404)

    def _pod_at(self, moment: float) -> Flow[Object]:
        return (yield from self._pods_at(moment))[0]

    def _pods_at(self, moment: float) -> Flow[list[Object]]:
        """Return the pods of the incarnation of a moment; the one that leads comes first."""
        pods = yield from self._source.pods(self._workload)
        facts = facts_of(pods)
        chosen = pods_at([row_of(one) for one in facts.values()], moment)
        if not chosen:
            raise NotFound("the pod is gone", 404)
        found = facts[chosen[0]["id"]]
        if ended_at(found) < moment - _SLACK and (yield from self._is_followed(found, moment)):
            raise NotFound("the pod is gone", 404)
        if found.end is None and found.started == NEVER:
            raise NotFound(f"pod {found.name} has not started yet", 404)
        by_uid = {word(pod, "metadata", "uid"): pod for pod in pods}
        return [by_uid[one["id"]] for one in chosen]

    def _is_followed(self, pod: PodFacts, moment: float) -> Flow[bool]:
        """Whether another pod, which is gone, ran at a moment: a failed one stays behind it."""
        lives = yield from self._source.remembered(self._workload)
        return any(pod.made < one.made <= moment for one in lives)

"""
The log of a pod: its end, or each new line as it comes.

A log goes with its pod. Who reads it to the end of the pod has its last words, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_runai.backends.kubernetes.api.paths import POD_LOGS
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.patience import Outage, Patience
from airflow_runai.backends.throttle import HISTORY
from airflow_runai.core.flow import Flow, NextLine, Open, Request, Sleep
from airflow_runai.core.log_cursor import LogCursor, LogLine, LogStretch
from airflow_runai.core.log_reader import LogQuery
from airflow_runai.errors import Refused, Silent, Unreachable

#: Bytes of a log's end, and of a line, that are read.
_TAIL_BYTES, _LINE_BYTES = 1024 * 1024, 64 * 1024
#: Trainings may be silent for long; after so many seconds the log is opened anew, in case nobody
#: is there any more.
SILENCE = 300.0
#: Seconds before a log that has ended is opened once more.
_BREATH = 1.0
#: For how long an API server may be away while somebody follows a log, seconds.
_PATIENCE = Patience(600.0)
_WAITING = "waiting to start"


@dataclass(frozen=True, slots=True)
class PodLog:
    """
    Which log.

    :param uid: of the pod.
    :param container: the one of the training.
    """

    namespace: str
    pod: str
    uid: str
    container: str

    def request(self, *params: tuple[str, str], keep: int | None = None) -> Request:
        """Return the request for it, with the time of each line."""
        return Request(
            "GET",
            POD_LOGS.object(self.namespace, self.pod),
            [("container", self.container), ("timestamps", "true"), *params],
            headers={"Accept": "*/*"},
            rank=HISTORY,
            decode=_split,
            keep=keep,
        )


@dataclass(frozen=True, slots=True)
class PodLogEnd:
    """
    The end of a pod's log.

    :param is_whole: the first line is the log's first one, as far as the node still has it.
    """

    lines: tuple[LogLine, ...] = ()
    is_whole: bool = True


def _split(content: bytes | bytearray) -> tuple[list[bytes], bool]:
    """Return the lines, and whether they are all that was sent."""
    lines = bytes(content).removesuffix(b"\n").split(b"\n")
    is_whole = len(content) < _TAIL_BYTES
    # What is left of a line may begin with a part of a secret.
    return (lines if is_whole else lines[1:]), is_whole


def tail(log: PodLog, query: LogQuery) -> Flow[PodLogEnd]:
    """
    Return the last lines; none before the container has started.

    :param query: which pod, container and incarnation it names does not count.
    :raises NotFound: if the pod is gone, and its log with it.
    """
    asked = {"tailLines": query.tail, "sinceSeconds": query.since}
    params = [(name, str(value)) for name, value in asked.items() if value is not None]
    request = log.request(*params, keep=_TAIL_BYTES)
    try:
        found = accept(request, (yield request))
    except Refused as error:
        if error.status == 400 and _WAITING in error.detail:
            return PodLogEnd()
        raise
    lines, is_whole = found or ((), True)
    is_whole = is_whole and query.since is None and (query.tail is None or len(lines) < query.tail)
    stretch = LogStretch(LogCursor(log.uid))
    taken = [stretch.take(line) for line in (lines if query.tail is None else lines[-query.tail :])]
    return PodLogEnd(tuple(line for line in taken if line), is_whole)


def follow(
    log: PodLog,
    cursor: LogCursor,
    take: Callable[[LogLine], Flow[None]],
    first: int | None = None,
) -> Flow[LogCursor]:
    """
    Hand over each line that follows the cursor, until the log has come to its end.

    It has if it ends twice without anything new: then the container has ended, or has not started
    yet. Look at the pod.

    :param first: without a cursor, so many lines from the end; ``None`` for all.
    :return: the cursor after the last line.
    :raises NotFound: if the pod is gone.
    """
    outage = Outage(_PATIENCE)
    while True:
        before = cursor
        stretch = LogStretch(cursor)
        try:
            has_begun = yield from _stream(log, stretch, take, first)
        except Silent:
            cursor = stretch.cursor
            continue
        except Unreachable as error:
            cursor = stretch.cursor
            yield from outage.outlast(error)
            continue
        outage, cursor = Outage(_PATIENCE), stretch.cursor
        if not has_begun or cursor == before:
            return cursor
        yield Sleep(_BREATH)


def _stream(
    log: PodLog, stretch: LogStretch, take: Callable[[LogLine], Flow[None]], first: int | None
) -> Flow[bool]:
    """Hand over new lines until the stream ends; return whether there is a log already."""
    since = stretch.cursor.since
    params = [("follow", "true")]
    if since:
        params.append(("sinceTime", since))
    elif first is not None:
        params.append(("tailLines", str(first)))
    request = log.request(*params)
    opened = yield Open(request, SILENCE, _LINE_BYTES)
    try:
        accept(request, opened)
    except Refused as error:
        if error.status == 400 and _WAITING in error.detail:
            return False
        raise
    while (reply := (yield NextLine())).body is not None:
        line = stretch.take(reply.body)
        if line:
            yield from take(line)
    return opened.status != 204

"""
What has changed in a collection since a version: a watch that the server ends at once.

A watch begins with what has happened since its version, as long as the server remembers that: more
than a minute of a busy cluster, and less after its restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_runai.backends.kubernetes.api.objects import decode_event
from airflow_runai.backends.kubernetes.api.status import accept, error_in_stream
from airflow_runai.backends.throttle import LIST
from airflow_runai.core.flow import Flow, NextLine, Open, Request

#: Seconds after which the server is asked to end the watch; without a line, and in all, after which
#: nobody listens any more.
_LIFE, _SILENCE, _LONGEST = 1, 10.0, 30.0


def read_changes(
    path: str,
    selector: Sequence[tuple[str, str]],
    since: int,
    take: Callable[[Mapping[str, Any], float], object],
) -> Flow[None]:
    """
    Hand over each change since a version, oldest first.

    :param selector: parameters that choose objects, such as ``labelSelector``.
    :param since: version of a list.
    :param take: gets ``type`` and ``object`` of a change, and when it came, epoch seconds.
    :raises Expired: if the server does not remember that version.
    :raises Silent: if something on the way keeps the answer back.
    """
    begin = [("resourceVersion", str(since)), ("timeoutSeconds", str(_LIFE))]
    request = Request("GET", path, [*selector, ("watch", "true"), *begin], rank=LIST)
    opened = yield Open(request, _SILENCE)
    accept(request, opened)
    while (reply := (yield NextLine())).body is not None and reply.now - opened.now < _LONGEST:
        if not reply.body.strip():
            continue
        kind, found = read_line(reply.body, path)
        take({"type": kind, "object": found}, reply.now)


def read_line(line: bytes, path: str) -> tuple[str, dict[str, Any]]:
    """Return type and object of a line of a watch; raises what an ``ERROR`` line means."""
    kind, found = decode_event(line)
    if kind == "ERROR":
        raise error_in_stream(found, path)
    return kind, found

"""
Lists of the control plane, page by page: all rows or an error, never silently a part.

The server's ``next`` is taken for an offset that grows; a server that ignores offsets ends the
reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_runai.backends.replies import accept
from airflow_runai.backends.throttle import ENDED
from airflow_runai.core.flow import Flow, Request
from airflow_runai.errors import Unreadable

#: Largest page that the lists allow.
PAGE = 500
#: A list that never ends (a server that ignores ``offset``) must not hold us for ever.
MAX_PAGES = 200


def read_all(
    path: str, key: str, params: Sequence[tuple[str, str]], rank: int = ENDED
) -> Flow[list[Mapping[str, Any]]]:
    """
    Collect all pages.

    Paging over a moving set repeats rows, so rows with an id are kept once.

    :raises Unreadable: if an answer is not a list, or the list does not end.
    """
    collected: dict[object, Mapping[str, Any]] = {}
    offset, previous = 0, None
    for _ in range(MAX_PAGES):
        page = [*params, ("limit", str(PAGE)), ("offset", str(offset))]
        request = Request("GET", path, page, rank=rank)
        body = accept(request, (yield request))
        rows = _rows(path, key, body)
        if rows == previous:
            return list(collected.values())
        for row in rows:
            collected.setdefault(_row_key(row, len(collected)), row)
        following = _next_offset(body)
        if not rows or following <= offset:
            return list(collected.values())
        offset, previous = following, rows
    raise Unreadable(f"GET {path}: the list goes on after {MAX_PAGES} pages")


def _row_key(row: Mapping[str, Any], number: int) -> str | int:
    identity = row.get("id")
    return identity if isinstance(identity, str) else number


def _next_offset(body: object) -> int:
    value = body.get("next") if isinstance(body, Mapping) else None
    digits = str(value) if isinstance(value, (int, str)) else ""
    return int(digits) if len(digits) < 10 and digits.isdecimal() else 0


def _rows(path: str, key: str, body: object) -> list[Mapping[str, Any]]:
    if body is None:
        # An empty list decides what is submitted, so it must be said, not concluded from silence.
        raise Unreadable(f"GET {path}: an empty answer instead of a list")
    rows = body.get(key) if isinstance(body, Mapping) else body
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise Unreadable(f"GET {path}: no list under {key!r}")
    return [row for row in rows if isinstance(row, Mapping)]

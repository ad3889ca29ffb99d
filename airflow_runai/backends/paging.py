"""
Lists of the control plane, page by page: all rows or an error, never silently a part.

The server's ``next`` is taken for an offset that grows; a server that ignores offsets ends the
reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from airflow_runai.backends.replies import accept
from airflow_runai.backends.throttle import ENDED, LIST
from airflow_runai.core.flow import Flow, Request
from airflow_runai.errors import Unreadable

#: Largest page that the lists allow.
PAGE = 500
#: A list that never ends (a server that ignores ``offset``) must not hold us for ever.
MAX_PAGES = 200

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class ListTooLong(Unreadable):
    """A list goes on after as many pages as its reader wants."""


class PageOfRows(Protocol[R_co]):
    """A decoded page, and where the next one begins."""

    @property
    def workloads(self) -> Sequence[R_co] | None:
        """The rows; ``None`` for none."""

    @property
    def next(self) -> object:
        """The server's offset of the next page."""


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


def read_page(path: str, key: str) -> Flow[list[Mapping[str, Any]]]:
    """Return the first page alone, for a hint."""
    request = Request("GET", path, [("limit", str(PAGE)), ("offset", "0")])
    return _rows(path, key, accept(request, (yield request)))


def walk(
    path: str,
    params: Sequence[tuple[str, str]],
    decode: Callable[[bytes | bytearray], PageOfRows[R]],
    take: Callable[[Sequence[R]], Flow[None]],
    max_pages: int = MAX_PAGES,
) -> Flow[int]:
    """
    Hand over page after page, holding one at a time; return how many there were.

    Paging over a moving set repeats rows and may leave out others.

    :param decode: see :class:`Request`.
    :param take: gets the rows of a page.
    :raises Unreadable: if an answer is not a list; ``ListTooLong`` if the list goes on after
        ``max_pages``.
    """
    offset, first = 0, None
    for number in range(1, max_pages + 1):
        page = [*params, ("limit", str(PAGE)), ("offset", str(offset))]
        request = Request("GET", path, page, rank=LIST, decode=decode)
        body = accept(request, (yield request))
        if body is None:
            raise Unreadable(f"GET {path}: an empty answer instead of a list")
        rows = body.workloads or ()
        if not rows or rows[0] == first:
            return number
        yield from take(rows)
        following = _offset(body.next)
        if following <= offset:
            return number
        offset, first = following, rows[0]
    raise ListTooLong(f"GET {path}: the list goes on after {max_pages} pages")


def _row_key(row: Mapping[str, Any], number: int) -> str | int:
    identity = row.get("id")
    return identity if isinstance(identity, str) else number


def _next_offset(body: object) -> int:
    return _offset(body.get("next") if isinstance(body, Mapping) else None)


def _offset(value: object) -> int:
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

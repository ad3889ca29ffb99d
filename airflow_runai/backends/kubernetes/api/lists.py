"""
Lists page by page: all objects or an error, never silently a part.

All pages show one moment, that of the first; a server that no longer knows it answers 410, and the
list begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Raw

from airflow_runai.backends.kubernetes.api.objects import decode_object, decode_page
from airflow_runai.backends.kubernetes.api.refusals import confirmed
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.throttle import LIST
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.kubernetes.objects import version_number
from airflow_runai.errors import Expired, Unreadable

R = TypeVar("R")
Object = Mapping[str, Any]

#: Objects of one page (of Jobs, 2.6 MB), and pages of the longest list that is read.
PAGE, MAX_PAGES = 1000, 100
#: So often a list begins anew; what expires again and again will not come.
_BEGINNINGS = 3


def walk(
    path: str, selector: Sequence[tuple[str, str]], take: Callable[[Sequence[Raw]], Flow[None]]
) -> Flow[str]:
    """
    Hand over page after page, holding one at a time; return the version of the first one.

    A watch from there shows whatever changes while the other pages are read.

    :param selector: parameters such as ``labelSelector``.
    :param take: gets the objects of a page, not decoded; they lack kind and API version.
    :raises Expired: in the middle of the list; what was handed over may have changed since.
    """
    version, token, seen = "", "", set[str]()
    for _ in range(MAX_PAGES):
        following = [("continue", token)] if token else []
        params = [*selector, ("limit", str(PAGE)), *following]
        request = Request("GET", path, params, rank=LIST, decode=decode_page)
        page = accept(request, (yield request))
        if page is None or not page.version:
            raise Unreadable(f"GET {path}: no list with a resourceVersion")
        version = version or page.version
        yield from take(page.items)
        token = page.token
        if not token:
            return version
        if token in seen:
            raise Unreadable(f"GET {path}: the list goes on with a page that was read already")
        seen.add(token)
    raise Unreadable(f"GET {path}: the list goes on after {MAX_PAGES} pages")


def read_all(
    path: str, selector: Sequence[tuple[str, str]], keep: Callable[[Mapping[str, Any]], R]
) -> Flow[list[R]]:
    """
    Return what is kept of each object of a list.

    :raises Expired: if the list expired again and again.
    """
    kept, _ = yield from _read(path, selector, keep)
    return kept


def read_objects(path: str, selector: Sequence[tuple[str, str]]) -> Flow[tuple[list[Object], int]]:
    """Return all objects of a list, and the version of the moment that it shows."""
    found, version = yield from confirmed(lambda: _read(path, selector, _whole))
    return found, version_number(version)


def _read(
    path: str, selector: Sequence[tuple[str, str]], keep: Callable[[Mapping[str, Any]], R]
) -> Flow[tuple[list[R], str]]:
    for beginning in range(_BEGINNINGS):
        kept: list[R] = []

        def take(items: Sequence[Raw], kept: list[R] = kept) -> Flow[None]:
            yield from ()
            kept.extend(keep(decode_object(item)) for item in items)

        try:
            version = yield from walk(path, selector, take)
        except Expired:
            if beginning + 1 == _BEGINNINGS:
                raise
        else:
            return kept, version
    raise AssertionError("the last beginning returns or raises")  # pragma: no cover


def _whole(found: Object) -> Object:
    return found

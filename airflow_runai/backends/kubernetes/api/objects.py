"""
Objects of the API as they come over the wire: decoded one by one, without what nobody reads.

A list of a thousand Jobs is 2.6 MB. Decoded at once, it holds up an event loop and wakes Python's
garbage collector; so the objects of a page stay JSON until each has its turn. Two fifths of each
are ``managedFields``, which a server cannot leave out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from airflow_runai.errors import Unreadable


class _ListMeta(msgspec.Struct, gc=False):
    resourceVersion: str = ""  # the server's name
    token: str = msgspec.field(default="", name="continue")


class _WirePage(msgspec.Struct, gc=False):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class ObjectPage(msgspec.Struct, gc=False):
    """
    One page of a list.

    :param items: objects, not decoded.
    :param version: of the moment that all pages show.
    :param token: where the next page begins; empty for the last one.
    """

    items: list[msgspec.Raw]
    version: str
    token: str


class _WireEvent(msgspec.Struct, gc=False):
    type: str
    object: dict[str, Any]


_PAGES = msgspec.json.Decoder(_WirePage)
_EVENTS = msgspec.json.Decoder(_WireEvent)


def decode_page(content: bytes | bytearray) -> ObjectPage:
    """Decode a page; raises ``ValueError`` for what is none."""
    page = _PAGES.decode(content)
    # Views of the page, which lives as long as one of them: copies would be as much again.
    return ObjectPage(page.items or [], page.metadata.resourceVersion, page.metadata.token)


def decode_object(content: msgspec.Raw) -> dict[str, Any]:
    """Decode an object of a page; raises ``Unreadable``."""
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise Unreadable(f"an object of a list: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable(f"an object of a list is {type(found).__name__}")
    return slim(found)


def decode_event(line: bytes) -> tuple[str, dict[str, Any]]:
    """Return type and object of a line of a watch; raises ``Unreadable``."""
    try:
        event = _EVENTS.decode(line)
    except msgspec.DecodeError as error:
        raise Unreadable(f"a line of a watch: {error}") from error
    return event.type, slim(event.object)


def slim(found: dict[str, Any]) -> dict[str, Any]:
    """Return the object without ``managedFields``."""
    metadata = found.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return found


def meta(found: Mapping[str, Any], name: str) -> str:
    """Return a text of the object's metadata, empty if it has none."""
    metadata = found.get("metadata")
    value = metadata.get(name) if isinstance(metadata, Mapping) else None
    return value if isinstance(value, str) else ""

"""Which objects a list or a watch asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.model.refusals import bad_request
from tests.model.resources import Object

Chooser = Callable[[Object], bool]
_SET = re.compile(r"(\S+) (in|notin) \(([^)]*)\)")
_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "involvedObject.",
    "reason",
    "spec.nodeName",
    "status.phase",
)


def chooser(query: Mapping[str, str], namespace: str) -> Chooser:
    """Read ``labelSelector`` and ``fieldSelector``; an empty namespace means all."""
    labels = [_label(one) for one in _split(query.get("labelSelector", ""))]
    fields = [_field(one) for one in _split(query.get("fieldSelector", ""))]

    def chooses(thing: Object) -> bool:
        metadata = thing["metadata"]
        if namespace and metadata.get("namespace") != namespace:
            return False
        own = metadata.get("labels") or {}
        return all(test(own) for test in labels) and all(test(thing) for test in fields)

    return chooses


def _split(selector: str) -> list[str]:
    return [part for part in re.split(r",(?![^(]*\))", selector) if part]


def _label(condition: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.fullmatch(condition):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        return lambda own: (own.get(key) in values) == (operator == "in")
    key, operator, value = _compared(condition)
    if not operator:
        return lambda own: (key.lstrip("!") in own) != key.startswith("!")
    return lambda own: (own.get(key) == value) != (operator == "!=")


def _field(condition: str) -> Callable[[Any], bool]:
    key, operator, value = _compared(condition)
    if not key.startswith(_FIELDS):
        raise bad_request(f'field label "{key}" not supported')

    def test(thing: Any) -> bool:
        for word in key.split("."):
            thing = (thing or {}).get(word)
        # A field that is left out is an empty one.
        return bool((thing or "") == value) != (operator == "!=")

    return test


def _compared(condition: str) -> tuple[str, str, str]:
    key, operator, value = [*re.split(r"(!=|==|=)", condition, maxsplit=1), "", ""][:3]
    return key, operator, value

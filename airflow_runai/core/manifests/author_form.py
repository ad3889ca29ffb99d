"""A specification as its author would write it, and the places in it that a field path names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_runai.core.fields import declared
from airflow_runai.core.json_merge import JsonObject


def author_form(part: Any) -> JsonObject:
    """Return a specification, or a part of one, as a plain mapping of what was set."""
    values = {name: getattr(part, name) for name in declared(type(part))}
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return author_form(value)
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def find(form: object, path: str, place: str) -> Iterator[tuple[str, Any]]:
    """
    Yield place and value of everything that is set at a field path.

    :param path: such as ``storage.pvc[].claim``; ``*`` stands for every key of a mapping.
    :param place: of ``form`` itself, for messages.
    """
    head, _, rest = path.partition(".")
    for at, value in _values(form, head, place):
        if rest:
            yield from find(value, rest, at)
        elif value is not None:
            yield at, value


def _values(form: object, head: str, place: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(form, Mapping):
        return
    name = head.removesuffix("[]")
    for key in list(form) if name == "*" else [name]:
        value, at = form.get(key), f"{place}.{key}"
        if name == head:
            yield at, value
        elif isinstance(value, (list, tuple)):
            yield from ((f"{at}[{index}]", entry) for index, entry in enumerate(value))

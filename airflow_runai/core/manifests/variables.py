"""The environment of the main container: what Run:ai injects there, and the author's variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_runai.core.json_merge import JsonObject

_SOURCES = {"secret": "secretKeyRef", "config_map": "configMapKeyRef"}


def value(name: str, text: str) -> JsonObject:
    """Return a variable that holds a text."""
    return {"name": name, "value": text}


def field(name: str, path: str) -> JsonObject:
    """Return a variable that holds a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def label(name: str, key: str) -> JsonObject:
    """Return a variable that holds a label of the pod."""
    return field(name, f"metadata.labels['{key}']")


def environment(injected: Iterable[JsonObject], own: Mapping[str, Any]) -> list[JsonObject]:
    """
    Return all variables; the author's win.

    :param injected: first in the list, so that the author's may refer to them.
    :param own: as :class:`airflow_runai.core.environment.Environment` keeps them.
    """
    kept = [variable for variable in injected if variable["name"] not in own]
    return [*kept, *(_written(name, entry) for name, entry in own.items())]


def _written(name: str, entry: Any) -> JsonObject:
    if not isinstance(entry, Mapping):
        return value(name, entry)
    kind, where = next(iter(entry.items()))
    if kind == "pod_field":
        return field(name, where)
    return {"name": name, "valueFrom": {_SOURCES[kind]: dict(where)}}

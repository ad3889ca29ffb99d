"""The environment variables of a workload: what authors may write, and the wire form of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.values import mapping, scalar, text
from airflow_runai.core.workload import OWN_VARIABLES

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SOURCES = {
    "secret": "secret",
    "config_map": "configMap",
    "credential": "userCredential",
    "pod_field": "podFieldRef",
}


def environment(value: Any) -> JsonObject:
    """Accept a mapping from names to scalars or sources (secret, config map, credential, field)."""
    return {name: _checked(name, entry) for name, entry in mapping(value).items()}


def _checked(name: str, entry: Any) -> Any:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a variable name; allowed: letters, digits and _ , not a digit first"
        )
    if name in OWN_VARIABLES:
        raise ValueError(
            f"{name} is set by the provider, which recognizes its workloads by it; "
            "take another name"
        )
    if isinstance(entry, Mapping):
        _source(name, entry)
        return dict(entry)
    # A boolean is an int to Python.
    if not isinstance(entry, (str, int, float)):
        found = type(entry).__name__
        raise ValueError(
            f"{name} holds a {found}; allowed: text, number, boolean or one of {_FORMS}"
        )
    return scalar(entry)


_FORMS = (
    "{'secret': {'name', 'key'}}, {'config_map': {…}}, {'credential': {…}}, "
    "{'pod_field': 'metadata.name'}"
)


def _source(name: str, entry: JsonMapping) -> JsonObject:
    kind, where = next(iter(entry.items()), ("", None))
    if len(entry) != 1 or kind not in _SOURCES:
        raise ValueError(f"{name} has the keys {sorted(entry)}; allowed: exactly one of {_FORMS}")
    if kind == "pod_field":
        return {_SOURCES[kind]: {"path": text(where)}}
    if not isinstance(where, Mapping) or set(where) != {"name", "key"}:
        raise ValueError(f"{name}.{kind}: needs exactly the keys 'name' and 'key'")
    return {_SOURCES[kind]: {key: text(entry) for key, entry in where.items()}}


def write_environment(value: JsonObject) -> list[JsonObject]:
    """Return the wire form of what :func:`environment` accepted."""
    return [
        {"name": name, **(_source(name, entry) if isinstance(entry, Mapping) else {"value": entry})}
        for name, entry in value.items()
    ]

"""The environment variables of a workload: what authors may write, and the wire form of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_runai.core.jinja import is_templated
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


class Environment:
    """Accepts names with scalars or sources (secret, config map, credential, field)."""

    def __call__(self, value: Any) -> JsonObject:
        """Return what is kept; raises ``ValueError``."""
        return {name: _checked(name, entry) for name, entry in mapping(value).items()}

    def unknown_keys(self, value: object, path: str) -> list[str]:
        """Name what is wrong with the names of variables, and with the keys of their sources."""
        if isinstance(value, (list, tuple)):
            return [f"{path}: a {type(value).__name__}; allowed: a mapping from names to values"]
        entries = value.items() if isinstance(value, Mapping) else ()
        return [
            f"{path}: {problem}" for name, entry in entries for problem in _problems(name, entry)
        ]


def _problems(name: object, entry: object) -> Iterator[str]:
    try:
        _check_name(str(name))
        if isinstance(entry, Mapping):
            _check_keys(str(name), entry)
    except ValueError as error:
        yield str(error)


def _check_name(name: str) -> None:
    if not _VARIABLE.fullmatch(name):
        # NAME=VALUE in one word: the value may be a secret.
        shown, sign, _ = name.partition("=")
        raise ValueError(
            f"{shown + sign + '…' * bool(sign)!r} is not a variable name; allowed: letters, digits "
            "and _ , not a digit first"
        )
    if name in OWN_VARIABLES:
        raise ValueError(
            f"{name} is set by the provider, which recognizes its workloads by it; "
            "take another name"
        )


def _checked(name: str, entry: Any) -> Any:
    _check_name(name)
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


def _check_keys(name: str, entry: JsonMapping) -> None:
    kind, where = next(iter(entry.items()), ("", None))
    if len(entry) != 1 or kind not in _SOURCES:
        keys = sorted(map(str, entry))
        raise ValueError(f"{name} has the keys {keys}; allowed: exactly one of {_FORMS}")
    if kind != "pod_field" and _lacks_keys(where):
        raise ValueError(f"{name}.{kind}: needs exactly the keys 'name' and 'key'")


def _lacks_keys(where: object) -> bool:
    """Whether it cannot be a source, whatever its templates become."""
    if isinstance(where, str):
        return not is_templated(where)
    if isinstance(where, Mapping):
        return set(where) != {"name", "key"}
    return isinstance(where, (list, tuple))


def _source(name: str, entry: JsonMapping) -> JsonObject:
    _check_keys(name, entry)
    kind, where = next(iter(entry.items()))
    if kind == "pod_field":
        return {_SOURCES[kind]: {"path": text(where)}}
    if not isinstance(where, Mapping):
        raise ValueError(f"{name}.{kind}: needs exactly the keys 'name' and 'key'")
    return {_SOURCES[kind]: {key: text(entry) for key, entry in where.items()}}


def write_environment(value: JsonObject) -> list[JsonObject]:
    """Return the wire form of what :class:`Environment` accepted."""
    return [
        {"name": name, **(_source(name, entry) if isinstance(entry, Mapping) else {"value": entry})}
        for name, entry in value.items()
    ]

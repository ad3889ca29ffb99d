"""
How one specification is laid over another, and its single values.

The rules (``docs/templates.md`` has them as a table): mappings are merged key by key; scalars and
whole variables are replaced; lists append, and an entry that exists already stays in its place;
``None`` changes nothing, except in ``raw``, which is sent as it is. The operation is associative,
and an empty specification changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_runai.core.command_line.line import index_of_clone
from airflow_runai.core.json_merge import JsonMapping, JsonObject, deep_merge

_AMOUNTS = ("gpu_devices", "gpu_portion", "gpu_memory")
_GPU = (*_AMOUNTS, "gpu_portion_limit", "gpu_memory_limit")


def overlay(base: JsonMapping, patch: JsonMapping) -> JsonObject:
    """Return ``base`` with ``patch`` laid over it; neither is changed."""
    merged = dict(base)
    for key, value in patch.items():
        if value is not None:
            merged[key] = _overlay_value(key, base.get(key), value)
    return merged


def _overlay_value(key: str, base: Any, patch: Any) -> Any:
    if isinstance(patch, Mapping):
        rule = _RULES.get(key, overlay)
        return rule(base if isinstance(base, Mapping) else {}, patch)
    if isinstance(patch, (list, tuple)):
        return _add_repositories(base, patch) if key == "git" else _append(base, patch)
    return patch


def _overlay_environment(base: JsonMapping, patch: JsonMapping) -> JsonObject:
    # A variable is replaced whole: half of a secret's name would be no source.
    return {**base, **patch}


def _overlay_compute(base: JsonMapping, patch: JsonMapping) -> JsonObject:
    # The layer that says how much GPU says all of it: half a GPU over two GPUs is a new answer.
    if any(patch.get(key) is not None for key in _AMOUNTS):
        base = {key: value for key, value in base.items() if key not in _GPU}
    return overlay(base, patch)


def _overlay_raw(base: JsonMapping, patch: JsonMapping) -> JsonObject:
    return deep_merge(base, patch, _append)


def _add_repositories(base: Any, patch: Iterable[Any]) -> list[Any]:
    """Append clones; an entry for the same place, or without all parts, completes what is there."""
    entries = list(base) if isinstance(base, (list, tuple)) else []
    for entry in patch:
        index = _index_to_complete(entry, entries)
        if index is None:
            entries = _append(entries, [entry])
        else:
            entries[index] = {**entries[index], **entry}
    return entries


def _index_to_complete(entry: Any, entries: list[Any]) -> int | None:
    # The specification itself refuses other entries; here they are appended.
    if not all(isinstance(one, Mapping) for one in (entry, *entries)):
        return None
    if not {"repository", "path"} <= entry.keys():
        return index_of_clone(entry, entries)
    places = [one.get("path") for one in entries]
    known = entry["path"] is not None and entry["path"] in places
    return places.index(entry["path"]) if known else None


def _append(base: Any, patch: Iterable[Any]) -> list[Any]:
    below = list(base) if isinstance(base, (list, tuple)) else []
    return [*below, *(entry for entry in patch if not any(same(entry, one) for one in below))]


_RULES = {
    "environment": _overlay_environment,
    "compute": _overlay_compute,
    "raw": _overlay_raw,
}


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one type: ``1`` is not ``true`` or ``1.0``."""
    return type(one) is type(other) and bool(one == other)


def leaves(value: Any, path: str = "", *, whole: bool = False) -> Iterator[tuple[str, Any]]:
    """
    Return each single value with its dotted key; entries of lists count from 0, ``storage.pvc[0]``.

    :param whole: take ``value`` as one, even a mapping (the source of a variable).
    """
    if isinstance(value, Mapping) and value and not whole:
        inside = path.rpartition(".")[2] == "environment"
        for key, entry in value.items():
            yield from leaves(entry, f"{path}.{key}" if path else key, whole=inside)
    elif isinstance(value, list) and value:
        yield from ((f"{path}[{index}]", entry) for index, entry in enumerate(value))
    else:
        yield path, value

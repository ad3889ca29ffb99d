"""
Request bodies as plain JSON: how one is laid over another, and when two are the same.

Knows no field but ``name``: entries of a list that all have one (variables, labels, tolerations)
are a mapping in disguise, so they are merged by name and their order means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``patch`` over ``base``: mappings key by key, lists of named entries name by name."""
    result = dict(base)
    for key, value in patch.items():
        result[key] = _united(result.get(key), value)
    return result


def _united(base: Any, patch: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        return merged(base, patch)
    if _are_named(base) and _are_named(patch):
        return list({entry["name"]: entry for entry in (*base, *patch)}.values())
    return patch


def _are_named(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, Mapping) and "name" in entry for entry in value
    )


def in_order(value: Any) -> Any:
    """Sort what has no order, so that a specification has one fingerprint however it is written."""
    if isinstance(value, Mapping):
        return {key: in_order(entry) for key, entry in sorted(value.items())}
    if isinstance(value, list):
        entries = [in_order(entry) for entry in value]
        if _are_named(value):
            entries.sort(key=lambda entry: str(entry["name"]))
        return entries
    return value

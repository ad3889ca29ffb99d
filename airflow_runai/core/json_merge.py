"""
Request bodies as plain JSON: how one is laid over another, and when two are the same.

Knows no field but ``name``: entries of a list that all have one (variables, labels, tolerations)
are a mapping in disguise, so they are merged by name and their order means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``patch`` laid over it: mappings key by key, lists of named entries name by name."""
    found = dict(base)
    for key, value in patch.items():
        found[key] = _united(found.get(key), value)
    return found


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
    """Bring what has no order into one, so that two ways to write one specification have one fingerprint."""
    if isinstance(value, Mapping):
        return {key: in_order(entry) for key, entry in sorted(value.items())}
    if isinstance(value, list):
        entries = [in_order(entry) for entry in value]
        return (
            sorted(entries, key=lambda entry: str(entry["name"])) if _are_named(value) else entries
        )
    return value

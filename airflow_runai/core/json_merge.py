"""
JSON-like mappings: how one is merged into another, and when two say the same.

Knows no field but ``name``: a list whose entries all have one (variables, labels, tolerations) is a
mapping in disguise. Such lists are merged by name, and their order means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeGuard

#: A part of a specification or of a request body, to read.
JsonMapping: TypeAlias = Mapping[str, Any]
#: The same, to write.
JsonObject: TypeAlias = dict[str, Any]
#: Merges a list without names into what lies beneath it, of any type.
MergeLists: TypeAlias = Callable[[Any, "list[Any] | tuple[Any, ...]"], Any]


def deep_merge(
    base: JsonMapping,
    patch: JsonMapping,
    merge_lists: MergeLists = lambda base, patch: patch,
) -> JsonObject:
    """
    Return ``base`` with ``patch`` merged into it; neither is changed.

    Mappings are merged key by key, lists of named entries name by name.

    :param merge_lists: how other lists are merged; by default ``patch`` replaces ``base``.
    """
    merged = dict(base)
    for key, value in patch.items():
        merged[key] = _merge_value(merged.get(key), value, merge_lists)
    return merged


def _merge_value(base: Any, patch: Any, merge_lists: MergeLists) -> Any:
    if isinstance(patch, Mapping):
        return deep_merge(base if isinstance(base, Mapping) else {}, patch, merge_lists)
    if are_named(base) and are_named(patch):
        by_name = {entry["name"]: entry for entry in (*base, *patch)}
        return list(by_name.values())
    if isinstance(patch, (list, tuple)):
        return merge_lists(base, patch)
    return patch


def are_named(value: Any) -> TypeGuard[list[JsonMapping]]:
    """Return whether ``value`` is a list of mappings with a ``name`` each; it may be empty."""
    return isinstance(value, list) and all(
        isinstance(entry, Mapping) and isinstance(entry.get("name"), str) for entry in value
    )


def canonical(value: Any) -> Any:
    """Sort what has no order, so that two spellings of one specification have one fingerprint."""
    if isinstance(value, Mapping):
        return {key: canonical(entry) for key, entry in sorted(value.items())}
    if not isinstance(value, list):
        return value
    entries = [canonical(entry) for entry in value]
    return sorted(entries, key=lambda entry: str(entry["name"])) if are_named(value) else entries

"""
How one specification is laid over another, and what single values it then has.

The rules (``docs/templates.md`` has them as a table): mappings key by key; scalars and whole
variables are replaced; lists append, an entry that is there already stays where it is; ``None``
says nothing, except in ``raw``, which is sent as it stands. Laying over is associative, and an
empty specification changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_runai.core.command_line.line import meant
from airflow_runai.core.templates.keys import is_named

_AMOUNTS = ("gpu_devices", "gpu_portion", "gpu_memory")
_GPU = (*_AMOUNTS, "gpu_portion_limit", "gpu_memory_limit")


def laid(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``patch`` laid over it; neither is changed."""
    found = dict(base)
    for key, value in patch.items():
        if value is not None:
            found[key] = _united(key, base.get(key), value)
    return found


def _united(key: str, base: Any, patch: Any) -> Any:
    if isinstance(patch, Mapping):
        rule = {"environment": _by_name, "compute": _compute, "raw": _raw}.get(key, laid)
        return rule(base if isinstance(base, Mapping) else {}, patch)
    if isinstance(patch, (list, tuple)):
        return _repositories(base, patch) if key == "git" else _appended(base, patch)
    return patch


def _repositories(base: Any, patch: Iterable[Any]) -> list[Any]:
    """Append clones; what goes into the same place, or lacks a part, completes what is there."""
    found = list(base) if isinstance(base, (list, tuple)) else []
    for entry in patch:
        there = (
            [one for one in found if isinstance(one, Mapping)] if isinstance(entry, Mapping) else []
        )
        partial = bool(there) and not {"repository", "path"} <= entry.keys()
        at = (
            meant(entry, there)
            if partial
            else next((n for n, one in enumerate(there) if _same_place(entry, one)), None)
        )
        if at is None or len(there) != len(found):
            found = _appended(found, [entry])
        else:
            found[at] = {**found[at], **entry}
    return found


def _same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.get("path") is not None and one.get("path") == other.get("path")


def _by_name(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    return {**base, **patch}


def _compute(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Let whoever says how much GPU say all of it: half a GPU over two GPUs is no contradiction, but a new answer."""
    if any(patch.get(key) is not None for key in _AMOUNTS):
        base = {key: value for key, value in base.items() if key not in _GPU}
    return laid(base, patch)


def _raw(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    return {**base, **{key: _raw_united(base.get(key), value) for key, value in patch.items()}}


def _raw_united(base: Any, patch: Any) -> Any:
    if isinstance(patch, Mapping):
        return _raw(base if isinstance(base, Mapping) else {}, patch)
    if is_named(base) and is_named(patch):
        return list({entry["name"]: entry for entry in (*base, *patch)}.values())
    return _appended(base, patch) if isinstance(patch, (list, tuple)) else patch


def _appended(base: Any, patch: Iterable[Any]) -> list[Any]:
    under = list(base) if isinstance(base, (list, tuple)) else []
    return [*under, *(entry for entry in patch if not any(same(entry, there) for there in under))]


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same to a reader: unlike in Python, ``1`` is neither ``true`` nor ``1.0``."""
    return type(one) is type(other) and bool(one == other)


def leaves(value: Any, path: str = "", *, whole: bool = False) -> Iterator[tuple[str, Any]]:
    """
    Return each single value with its dotted key; entries of lists count from 0, ``storage.pvc[0]``.

    :param whole: take ``value`` as one, though it may be a mapping (the source of a variable).
    """
    if isinstance(value, Mapping) and value and not whole:
        inside = path.rpartition(".")[2] == "environment"
        for key, entry in value.items():
            yield from leaves(entry, f"{path}.{key}" if path else key, whole=inside)
    elif isinstance(value, list) and value:
        yield from ((f"{path}[{index}]", entry) for index, entry in enumerate(value))
    else:
        yield path, value

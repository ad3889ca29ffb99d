"""
Dotted keys such as ``compute.gpu_devices`` or ``environment.EPOCHS``, and paths that mean the same.

A key of ``raw``, or of the master's own part, can set the same as a key of the specification;
:func:`alternatives` returns all of them, so that a lock has no back door.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.core import storage
from airflow_runai.core.fields import declared
from airflow_runai.core.json_merge import JsonMapping, JsonObject, are_named
from airflow_runai.core.pod_spec import Compute, Security
from airflow_runai.core.spec import Distributed, WorkloadSpec
from airflow_runai.core.templates.kubernetes_keys import EVERY, kubernetes_paths
from airflow_runai.core.templates.text import TEXTUAL, Path
from airflow_runai.core.values import nearest

_PARTS: dict[str, type] = {
    "compute": Compute,
    "storage": storage.Storage,
    "security": Security,
    "distributed": Distributed,
    "master": WorkloadSpec,
}
#: Keys of the whole workload, which a master cannot have.
_WHOLE_ONLY = ("distributed", "template_id", "completions", "parallelism", "raw")


class NoValue:
    """The absence of a value; ``None`` is a value, which ``raw`` sends."""


MISSING = NoValue()


def path_of(dotted: str, cls: type = WorkloadSpec) -> Path:
    """
    Take a dotted key apart; names of variables, labels and annotations may have dots themselves.

    :raises ValueError: with the nearest valid name.
    """
    head, dot, rest = dotted.partition(".")
    if head not in declared(cls):
        raise ValueError(f"{head!r} is not a key; {nearest(head, declared(cls))}")
    if not dot:
        return (head,)
    if head in _PARTS:
        return (head, *path_of(rest, _PARTS[head]))
    if head == "raw":
        return (head, *rest.split("."))
    # A name of a variable or label: all of the rest, dots included.
    if head in TEXTUAL and rest:
        return (head, rest)
    raise ValueError(
        f"{head!r} is one value or list, {rest!r} in it cannot be named; allowed: {head}"
    )


def alternatives(path: Path) -> list[Path]:
    """Return the path and all others by which the same value reaches the platform."""
    # One value, many spellings: in raw, in the master, and in the master's own raw.
    paths = [path]
    if path[0] not in ("raw", "template_id"):
        paths += [("raw", *wire) for wire in _wire_paths(path)]
        paths += kubernetes_paths(path)
    if path[0] not in _WHOLE_ONLY:
        paths.append(("distributed", "master", *path))
        paths += [("distributed", "master", "raw", *wire) for wire in _wire_paths(path)]
    return paths


def _wire_paths(path: Path) -> list[Path]:
    if path == ("distributed",):  # on the wire its fields lie flat beside all others
        return [_wire_path(Distributed, (name,)) for name in declared(Distributed)]
    if path[0] == "distributed":
        return [_wire_path(Distributed, path[1:])]
    return [_wire_path(WorkloadSpec, path)]


def _wire_path(cls: type, path: Path) -> Path:
    head, rest = path[0], path[1:]
    name = declared(cls)[head].metadata["wire"] if head in declared(cls) else head
    if rest and head in _PARTS:
        rest = _wire_path(_PARTS[head], rest)
    return (name, *rest)


def value_at(tree: Any, path: Path) -> Any:
    """
    Return the value at ``path``, or :data:`MISSING`.

    A value other than a mapping that cuts the path short is returned: it decides the rest. Behind
    :data:`EVERY`, all that is found is returned as a list.
    """
    for index, name in enumerate(path):
        if name == EVERY and isinstance(tree, (list, tuple)):
            found = [value_at(entry, path[index + 1 :]) for entry in tree]
            return [value for value in found if value is not MISSING] or MISSING
        # Variables as the server spells them: a list of entries with names.
        if tree and are_named(tree):
            tree = {entry["name"]: entry for entry in tree}
        if not isinstance(tree, Mapping):
            return tree
        if name not in tree:
            return MISSING
        tree = tree[name]
    return tree


def has_value(tree: Any, path: Path) -> bool:
    """Return whether ``path`` has a value; ``None``, an empty text, list or mapping is none."""
    return value_at(tree, path) not in (MISSING, None, "", [], {}, ())


def dropped(tree: JsonMapping, path: Path) -> JsonObject:
    """Return a copy without ``path``."""
    head, rest = path[0], path[1:]
    copy = dict(tree)
    if rest and isinstance(copy.get(head), Mapping):
        copy[head] = dropped(copy[head], rest)
    elif not rest:
        copy.pop(head, None)
    return copy

"""
Dotted keys such as ``compute.gpu_devices`` or ``environment.EPOCHS``: what they lead to, and by what other ways.

A key of ``raw``, or of a master of its own, can say the same as a key of the specification;
:func:`alternatives` names all of them, so that a lock has no back door.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.core import storage
from airflow_runai.core.fields import declared, nearest
from airflow_runai.core.json_merge import are_named
from airflow_runai.core.spec import Compute, Distributed, Security, WorkloadSpec
from airflow_runai.core.templates.text import TEXTUAL, Path

_PARTS: dict[str, type] = {
    "compute": Compute,
    "storage": storage.Storage,
    "security": Security,
    "distributed": Distributed,
    "master": WorkloadSpec,
}
#: They belong to the whole workload, so a master has none of them.
_WHOLE_ONLY = ("distributed", "template_id", "completions", "parallelism", "raw")


class Missing:
    """Stands for "there is nothing", which ``None`` does not: in ``raw`` that is sent."""


MISSING = Missing()


def path_of(dotted: str, cls: type = WorkloadSpec) -> Path:
    """
    Take a dotted key apart; names of variables, labels and annotations may have dots themselves.

    :raises ValueError: with the nearest valid name.
    """
    head, dot, rest = dotted.partition(".")
    if head not in declared(cls):
        raise ValueError(f"{head!r} is no key; {nearest(head, declared(cls))}")
    if not dot:
        return (head,)
    if head in _PARTS:
        return (head, *path_of(rest, _PARTS[head]))
    if head == "raw":
        return (head, *rest.split("."))
    if head in TEXTUAL and rest:
        return (head, rest)
    raise ValueError(
        f"{head!r} is one value or list, {rest!r} in it cannot be named; allowed: {head}"
    )


def alternatives(path: Path) -> list[Path]:
    """Return the path and all others by which the same thing reaches the control plane."""
    found = [path]
    if path[0] not in ("raw", "template_id"):
        found += [("raw", *wired) for wired in _wired(path)]
    if path[0] not in _WHOLE_ONLY:
        found += [("distributed", "master", *path)]
        found += [("distributed", "master", "raw", *wired) for wired in _wired(path)]
    return found


def _wired(path: Path) -> list[Path]:
    if path == ("distributed",):  # its fields lie flat beside all others
        return [_wire_names(Distributed, (name,)) for name in declared(Distributed)]
    if path[0] == "distributed":
        return [_wire_names(Distributed, path[1:])]
    return [_wire_names(WorkloadSpec, path)]


def _wire_names(cls: type, path: Path) -> Path:
    head, *rest = path
    name = declared(cls)[head].metadata["wire"] if head in declared(cls) else head
    below = _wire_names(_PARTS[head], tuple(rest)) if rest and head in _PARTS else tuple(rest)
    return (name, *below)


def value_at(tree: Any, path: Path) -> Any:
    """
    Return what stands at ``path``, or :data:`MISSING`.

    Where something else than a mapping cuts the path short, that is returned: it decides what is
    there.
    """
    for name in path:
        if tree and are_named(tree):
            tree = {entry["name"]: entry for entry in tree}
        if not isinstance(tree, Mapping):
            return tree
        if name not in tree:
            return MISSING
        tree = tree[name]
    return tree


def has_value(tree: Any, path: Path) -> bool:
    """
    Whether something is said at ``path``; ``None``, an empty text, list and mapping say nothing.
    """
    found = value_at(tree, path)
    return found is not MISSING and found is not None and found not in ("", [], {}, ())


def dropped(tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a copy that has nothing at ``path``."""
    head, *rest = path
    found = dict(tree)
    if rest and isinstance(found.get(head), Mapping):
        found[head] = dropped(found[head], tuple(rest))
    elif not rest:
        found.pop(head, None)
    return found

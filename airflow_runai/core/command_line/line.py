"""
The parts of a command line whose meaning depends on templates.

They are the container's words, ``--git-sync`` and defaults.

CLI v1 asks its templates first and fills in its defaults afterwards, lays ``--git-sync`` over a
template's field by field, and lets the words after ``--`` replace all of a template's words
(run-ai/runai-cli, ``submit_template_merger.go`` and ``submit_mpi.go``). So none of that is part of
the keys that a line says; :func:`completed` adds it once all layers are merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_runai.core.json_merge import JsonMapping, JsonObject

#: How a line says what runs, see :class:`Line`.
Words = Literal["command", "args", "either", "flags"]
#: GPUs and slices of them, as extended resources.
_GPU = ("nvidia.com/gpu", "nvidia.com/mig-")
#: CLI v1's defaults for a clone.
_GIT_DEFAULTS = {"branch": "master", "path": "/code"}


@dataclass(frozen=True)
class Line:
    """
    A command line, or the ConfigMap that stands for one, before anything is filled in.

    :param said: keys of a specification.
    :param git: parts of ``--git-sync`` of CLI v1, which knows one repository only.
    :param fills: dotted keys and the command line's defaults for them.
    :param words: how it says what runs: words that are the command or its arguments, or ``either``
        of them, as a template may decide; ``flags`` if it has a flag for each; ``None`` without
        any.
    :param launcher: it is an MPI job of CLI v1: only the launcher runs the command, without a GPU.
    """

    said: JsonMapping = field(default_factory=dict)
    git: Mapping[str, str] = field(default_factory=dict)
    fills: JsonMapping = field(default_factory=dict)
    words: Words | None = None
    launcher: bool = False


def alone(line: Line, *, templated: bool) -> JsonObject:
    """Return what a line says by itself; defaults are left out if a template may set the keys."""
    spec = with_git(line.said, [line], fill=not templated)
    return completed(spec, [line], fill=not templated)


def completed(spec: JsonMapping, lines: Iterable[Line], *, fill: bool = True) -> JsonObject:
    """
    Return a specification with what lines add to it in the end.

    :param fill: add defaults as well; without it, a template may still have others.
    """
    lines = list(lines)
    result = dict(spec)
    if fill:
        for line in lines:
            for key, value in line.fills.items():
                result = _with_default(result, key.split("."), value)
    # Last, because the launcher also gets the words and loses the GPUs that are defaults.
    return _with_launcher(result) if any(line.launcher for line in lines) else result


def with_git(spec: JsonMapping, lines: Iterable[Line], *, fill: bool = True) -> JsonObject:
    """
    Return a specification with the repository that lines name together.

    It completes the entry that clones the same repository, or into the same directory; without a
    source, the only entry.

    :raises ValueError: if no line and no template names a source.
    """
    git = {key: value for line in lines for key, value in line.git.items()}
    if not git:
        return dict(spec)
    storage = spec.get("storage") or {}
    entries = list(storage.get("git") or ())
    index = index_of_clone(git, entries)
    if index is not None:
        entries[index] = {**entries[index], **git}
    elif fill and "repository" not in git:
        raise ValueError("--git-sync names no source, and no template has one; write source=…")
    else:
        entries.append({**_GIT_DEFAULTS, **git} if fill else git)
    return {**spec, "storage": {**storage, "git": entries}}


def index_of_clone(git: JsonMapping, entries: Sequence[JsonMapping]) -> int | None:
    """Return the index of the entry that ``git``, in which parts may be missing, completes."""
    if "repository" not in git and len(entries) == 1:
        return 0
    for index, entry in enumerate(entries):
        if _is_same_clone(git, entry):
            return index
    return None


def _is_same_clone(git: JsonMapping, entry: JsonMapping) -> bool:
    repository = git.get("repository")
    if repository is not None and repository == entry.get("repository"):
        return True
    return bool(git.get("path", _GIT_DEFAULTS["path"]) == entry.get("path"))


def _with_default(spec: JsonObject, path: list[str], value: Any) -> JsonObject:
    head, *rest = path
    if rest:
        return {**spec, head: _with_default(dict(spec.get(head) or {}), rest, value)}
    return spec if spec.get(head) is not None else {**spec, head: value}


def _with_launcher(spec: JsonObject) -> JsonObject:
    """Give the words to the launcher, which becomes the master, and take the GPUs from it."""
    distributed = dict(spec.get("distributed") or {})
    master = dict(distributed.get("master") or {})
    words = {key: spec[key] for key in ("command", "args") if spec.get(key) is not None}
    # A master with words of its own keeps them; then the others are for the workers.
    if not master.keys().isdisjoint(words):
        words = {}
    master |= words
    compute = _compute_without_gpus(spec.get("compute") or {})
    if compute:
        master["compute"] = compute | (master.get("compute") or {})
    if master:
        distributed["master"] = master
    rest = {key: value for key, value in spec.items() if key not in words}
    return {**rest, "distributed": distributed}


def _compute_without_gpus(compute: JsonMapping) -> JsonObject:
    """Return the keys that take the GPUs of ``compute`` from a pod; none if it has no GPUs."""
    resources = compute.get("extended_resources") or {}
    # MIG slices are extended resources, which gpu_devices=0 would leave in place.
    others = {name: value for name, value in resources.items() if not name.startswith(_GPU)}
    overrides: JsonObject = {}
    if len(others) < len(resources):
        overrides["extended_resources"] = others
    if overrides or any(key.startswith("gpu") for key in compute):
        overrides["gpu_devices"] = 0
    return overrides

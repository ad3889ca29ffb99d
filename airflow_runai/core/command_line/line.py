"""
What a command line says that lies across templates: words for the container, ``--git-sync``, and what it fills in.

CLI v1 asks its templates first and fills in its defaults afterwards, lays ``--git-sync`` over a
template's field by field, and lets the words after ``--`` take the place of all of a template's
words (run-ai/runai-cli, ``submit_template_merger.go`` and ``submit_mpi.go``). So none of that is
part of the keys that are said; it is added by :func:`completed` when everybody has spoken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Words = Literal["command", "args", "either", "flags"]
#: GPUs and slices of them, as extended resources.
_DEVICES = ("nvidia.com/gpu", "nvidia.com/mig-")
#: The branch and the place of a clone in CLI v1, where nobody names them.
_GIT = {"branch": "master", "path": "/code"}


@dataclass(frozen=True)
class Line:
    """
    A command line, or the ConfigMap that amounts to one, before anything is filled in.

    :param said: keys of a specification.
    :param git: parts of ``--git-sync`` of CLI v1, which knows one repository only.
    :param fills: dotted keys and the values that the command line gives them where nobody says one.
    :param words: how it says what runs: words that are the command or its arguments, or ``either``
        of them, as a template may decide; ``flags`` if it has a flag for each; ``None`` without
        any.
    :param launcher: it makes an MPI job of CLI v1, in which the launcher alone runs the command,
        without a GPU.
    """

    said: Mapping[str, Any] = field(default_factory=dict)
    git: Mapping[str, str] = field(default_factory=dict)
    fills: Mapping[str, Any] = field(default_factory=dict)
    words: Words | None = None
    launcher: bool = False


def alone(line: Line, *, templated: bool) -> dict[str, Any]:
    """Return what a line says by itself; nothing is filled in if a template may still say it."""
    return completed(with_git(line.said, [line], fill=not templated), [line], fill=not templated)


def completed(
    spec: Mapping[str, Any], lines: Iterable[Line], *, fill: bool = True
) -> dict[str, Any]:
    """
    Return a specification with what lines add to it in the end.

    :param fill: add defaults, too; a template may still have others.
    """
    lines = list(lines)
    found = dict(spec)
    for line in lines if fill else ():
        for key, value in line.fills.items():
            found = _filled(found, key.split("."), value)
    return _launched(found) if any(line.launcher for line in lines) else found


def with_git(
    spec: Mapping[str, Any], lines: Iterable[Line], *, fill: bool = True
) -> dict[str, Any]:
    """
    Return a specification with the repository that lines name together.

    It completes the entry that clones the same repository, or into the same place; without a
    source, the only one.

    :raises ValueError: if nobody names a source.
    """
    git = {key: value for line in lines for key, value in line.git.items()}
    if not git:
        return dict(spec)
    storage = dict(spec.get("storage") or {})
    entries = list(storage.get("git") or ())
    at = meant(git, entries)
    if at is not None:
        entries[at] = {**entries[at], **git}
    elif fill and "repository" not in git:
        raise ValueError("--git-sync names no source, and no template has one; write source=…")
    else:
        entries.append({**_GIT, **git} if fill else git)
    return {**spec, "storage": {**storage, "git": entries}}


def meant(git: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the index of the repository that ``git``, in which parts may be missing, completes."""
    return next(
        (index for index, entry in enumerate(entries) if _is_meant(git, entry, len(entries) == 1)),
        None,
    )


def _is_meant(git: Mapping[str, Any], entry: Mapping[str, Any], alone: bool) -> bool:
    if "repository" not in git and alone:
        return True
    same = git.get("repository") is not None and git["repository"] == entry.get("repository")
    return same or bool(git.get("path", _GIT["path"]) == entry.get("path"))


def _filled(spec: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return spec if spec.get(head) is not None else {**spec, head: value}
    return {**spec, head: _filled(dict(spec.get(head) or {}), rest, value)}


def _launched(spec: dict[str, Any]) -> dict[str, Any]:
    """Give the words to the launcher, which becomes the master, and take the GPUs from it."""
    distributed = dict(spec.get("distributed") or {})
    master = dict(distributed.get("master") or {})
    own = {key: spec[key] for key in ("command", "args") if spec.get(key) is not None}
    if own and not master.keys() & own.keys():
        spec = {key: value for key, value in spec.items() if key not in own}
        master |= own
    without = _without_gpus(spec.get("compute") or {})
    if without:
        master["compute"] = {**without, **(master.get("compute") or {})}
    return {**spec, "distributed": {**distributed, **({"master": master} if master else {})}}


def _without_gpus(compute: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what a pod says that has all of ``compute`` but its GPUs; nothing if there are none.
    """
    resources = compute.get("extended_resources") or {}
    others = {name: amount for name, amount in resources.items() if not name.startswith(_DEVICES)}
    devices = any(key.startswith("gpu") for key in compute) or len(others) < len(resources)
    return {
        **({"gpu_devices": 0} if devices else {}),
        **({"extended_resources": others} if len(others) < len(resources) else {}),
    }

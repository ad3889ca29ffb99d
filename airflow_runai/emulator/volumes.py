"""
Container paths without containers: the local directory of each mount, and the rewriting of paths.

A mount path is replaced where a path can begin: at the start of an argument or value, and after
``=``, ``:`` or ``,``. In the text that follows a shell's ``-c`` a path may also begin after blanks,
quotes and shell punctuation. Everything else is passed on byte for byte. Read-only mounts are not
enforced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

_BORDER = "=:,"
_SHELL_BORDER = _BORDER + " \t\n'\"`;|&<>(){}"
_SHELLS = frozenset(
    {
        "sh",
        "bash",
        "dash",
        "zsh",
        "ash",
        "ksh",
    }
)
_SHARED_KINDS = frozenset(
    {
        "dataVolume",
        "configMapVolume",
        "secretVolume",
    }
)


@dataclass(frozen=True)
class VolumeMount:
    """
    One volume of a pod.

    :param path: where the container sees it.
    :param keys: names under which ``--volume`` may map it: source, server with source, container
        path.
    :param slug: its directory under ``volumes/`` if nothing maps it; empty for node-local volumes.
    """

    path: str
    keys: tuple[str, ...]
    slug: str


def mounts(spec: Mapping[str, Any], workload: str) -> list[VolumeMount]:
    """List the mounts of a workload's ``spec.storage`` that have a container path."""
    storage = (spec.get("storage") or {}).items()
    lists = [(kind, entries) for kind, entries in storage if isinstance(entries, list)]
    every = [_mount(kind, entry, workload) for kind, entries in lists for entry in entries]
    return [mount for mount in every if mount.path.strip("/")]


def _mount(kind: str, entry: Mapping[str, Any], workload: str) -> VolumeMount:
    path = str(entry.get("path") or "")
    container = str(entry.get("mountPath") or "")
    if kind in ("nfs", "hostPath"):
        return _external(path, container, entry.get("server"))
    if kind == "pvc":
        return _claimed(path, entry, workload)
    return _named(kind, container or path, entry)


def _claimed(path: str, entry: Mapping[str, Any], workload: str) -> VolumeMount:
    # Without a name of its own, a claim belongs to this workload.
    claim = str(entry.get("claimName") or f"{workload}-{_slug(path)}")
    slug = "" if entry.get("ephemeral") else _slug(claim)
    return VolumeMount(path, (claim, path), slug)


def _named(kind: str, container: str, entry: Mapping[str, Any]) -> VolumeMount:
    name = str(entry.get("id") or entry.get("configMap") or entry.get("secret") or "")
    if not name:
        return VolumeMount(container, (container,), "")
    # Other kinds live and die with the node, so each incarnation gets its own.
    slug = _slug(name) if kind in _SHARED_KINDS else ""
    return VolumeMount(container, (name, container), slug)


def _external(source: str, container: str, server: str | None) -> VolumeMount:
    keys = (f"{server}:{source}", source) if server else (source,)
    return VolumeMount(container, (*keys, container), _slug(source))


def _slug(name: str) -> str:
    """Make a safe relative path of a source; it never climbs out of its directory."""
    parts = [
        part
        for part in PurePosixPath(name).parts
        if part
        not in (
            "/",
            "..",
            ".",
        )
    ]
    return str(PurePosixPath(*parts)) if parts else "root"


class Places:
    """
    The mounts of one incarnation: container path to local directory.

    :param mounted: the workload's mounts.
    :param mapped: the directories given with ``--volume``.
    :param shared: directory for volumes that are not mapped.
    :param local: the node-local disk of this incarnation.
    """

    def __init__(
        self,
        mounted: Sequence[VolumeMount],
        mapped: Mapping[str, Path],
        shared: Path,
        local: Path,
    ) -> None:
        self.local = local
        # Reversed, so that of two mounts of one path the first wins.
        self.directories = {
            _clean(mount.path): _directory(mount, mapped, shared, local)
            for mount in reversed(mounted)
        }

    def make(self) -> None:
        """Create every directory that does not exist yet."""
        for directory in (self.local, *self.directories.values()):
            directory.mkdir(parents=True, exist_ok=True)

    def value(self, text: str) -> str:
        """Rewrite the mount paths in an argument or a value."""
        return self._rewrite(text, _BORDER)

    def arguments(self, argv: Sequence[str]) -> list[str]:
        """Rewrite a whole command, of which the word after a shell's ``-c`` is a script."""
        shell = bool(argv) and PurePosixPath(argv[0]).name in _SHELLS
        rewritten = []
        for option, word in zip(["", *argv], argv, strict=False):
            # Only the word after -c is a script; those behind it are its arguments.
            is_script = shell and re.fullmatch(r"-[a-z]*c", option)
            rewritten.append(self._rewrite(word, _SHELL_BORDER if is_script else _BORDER))
        return rewritten

    def working_directory(self, path: str | None) -> Path:
        """Translate the working directory; outside all mounts it is on the node-local disk."""
        if not path:
            return self.local
        requested = PurePosixPath(_clean(path))
        # A mount inside a mount hides what the outer one has there.
        for mount in self._longest_first():
            if requested.is_relative_to(mount):
                return self.directories[mount] / requested.relative_to(mount)
        return self.local / _slug(path)

    def _rewrite(self, text: str, borders: str) -> str:
        # An empty alternative would match everywhere.
        if not self.directories:
            return text
        paths = "|".join(map(re.escape, self._longest_first()))
        border = re.escape(borders)
        pattern = rf"(^|[{border}])({paths})(?=$|[/{border}])"
        return re.sub(pattern, lambda match: match[1] + str(self.directories[match[2]]), text)

    def _longest_first(self) -> list[str]:
        return sorted(
            self.directories,
            key=len,
            reverse=True,
        )


def _clean(path: str) -> str:
    return "/" + path.strip("/")


def _directory(
    mount: VolumeMount,
    mapped: Mapping[str, Path],
    shared: Path,
    local: Path,
) -> Path:
    for key in mount.keys:
        if key in mapped:
            return mapped[key]
    # A mapped parent carries its children: /nfs=DIR makes /nfs/john DIR/john.
    paths = [path for path in mapped if "/" in path]
    for key in mount.keys:
        parents = [path for path in paths if key.startswith(path.rstrip("/") + "/")]
        if parents:
            parent = max(parents, key=len)
            return mapped[parent] / _slug(key[len(parent.rstrip("/")) :])
    return shared / mount.slug if mount.slug else local / "volumes" / _slug(mount.path)

"""
Container paths without containers: which local directory stands for a mount, and how arguments are rewritten.

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
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ash", "ksh"})


@dataclass(frozen=True)
class VolumeMount:
    """
    One volume of a pod.

    :param path: where the container sees it.
    :param keys: names under which ``--volume`` may map it: source, server with source, container
        path.
    :param slug: its directory under ``volumes/`` when nothing maps it; empty for node-local
        volumes.
    """

    path: str
    keys: tuple[str, ...]
    slug: str


def mounts(spec: Mapping[str, Any], workload: str) -> list[VolumeMount]:
    """
    List the mounts of a workload's ``spec.storage``; entries without a container path are left out.
    """
    found = []
    for kind, entries in (spec.get("storage") or {}).items():
        for entry in entries if isinstance(entries, list) else ():
            mount = _mount(kind, entry, workload)
            if mount.path.strip("/"):
                found.append(mount)
    return found


def _mount(kind: str, entry: Mapping[str, Any], workload: str) -> VolumeMount:
    path = str(entry.get("path") or "")
    if kind in ("nfs", "hostPath"):
        source, server = path, entry.get("server")
        keys = (f"{server}:{source}", source) if server else (source,)
        container = str(entry.get("mountPath") or "")
        return VolumeMount(container, (*keys, container), _slug(source))
    if kind == "pvc":
        claim = str(entry.get("claimName") or f"{workload}-{_slug(path)}")
        return VolumeMount(path, (claim, path), "" if entry.get("ephemeral") else _slug(claim))
    container = str(entry.get("mountPath") or path)
    name = str(entry.get("id") or entry.get("configMap") or entry.get("secret") or "")
    keeps = kind in ("dataVolume", "configMapVolume", "secretVolume") and name
    return VolumeMount(
        container, (name, container) if name else (container,), _slug(name) if keeps else ""
    )


def _slug(name: str) -> str:
    """Make a safe relative path of a source; it never climbs out of its directory."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    return str(PurePosixPath(*parts)) if parts else "root"


class Places:
    """
    The translation for one incarnation: container path to local directory.

    :param found: the workload's mounts.
    :param mapped: what ``--volume`` says.
    :param shared: directory for volumes nobody mapped.
    :param local: the node-local disk of this incarnation.
    """

    def __init__(
        self, found: Sequence[VolumeMount], mapped: Mapping[str, Path], shared: Path, local: Path
    ) -> None:
        self.local = local
        self.directories = {
            _clean(mount.path): _directory(mount, mapped, shared, local)
            for mount in reversed(found)
        }

    def make(self) -> None:
        """Create every directory that does not exist yet."""
        for directory in (self.local, *self.directories.values()):
            directory.mkdir(parents=True, exist_ok=True)

    def value(self, text: str) -> str:
        """Rewrite the mount paths in an argument or a value."""
        return self._rewrite(text, _BORDER)

    def arguments(self, argv: Sequence[str]) -> list[str]:
        """Rewrite a whole command; knows that the word after a shell's ``-c`` is a text."""
        shell = bool(argv) and PurePosixPath(argv[0]).name in _SHELLS
        rewritten = []
        for number, word in enumerate(argv):
            is_text = (
                shell and number > 0 and re.fullmatch(r"-[a-z]*c", argv[number - 1]) is not None
            )
            rewritten.append(self._rewrite(word, _SHELL_BORDER if is_text else _BORDER))
        return rewritten

    def working_directory(self, path: str | None) -> Path:
        """
        Translate the working directory; outside every mount it is made on the node-local disk.
        """
        if not path:
            return self.local
        asked = PurePosixPath(_clean(path))
        for mount in sorted(self.directories, key=len, reverse=True):
            if asked.is_relative_to(mount):
                return self.directories[mount] / asked.relative_to(mount)
        return self.local / _slug(path)

    def _rewrite(self, text: str, borders: str) -> str:
        if not self.directories:
            return text
        longest_first = sorted(self.directories, key=len, reverse=True)
        paths = "|".join(map(re.escape, longest_first))
        border = re.escape(borders)
        pattern = rf"(^|[{border}])({paths})(?=$|[/{border}])"
        return re.sub(pattern, lambda match: match[1] + str(self.directories[match[2]]), text)


def _clean(path: str) -> str:
    return "/" + path.strip("/")


def _directory(mount: VolumeMount, mapped: Mapping[str, Path], shared: Path, local: Path) -> Path:
    for key in mount.keys:
        if key in mapped:
            return mapped[key]
    # A mapped parent carries its children: /nfs=DIR makes /nfs/john DIR/john.
    for key in (key for key in mount.keys if "/" in key):
        parents = [
            known for known in mapped if key.startswith(known.rstrip("/") + "/") and "/" in known
        ]
        if parents:
            parent = max(parents, key=len)
            return mapped[parent] / _slug(key[len(parent.rstrip("/")) :])
    return shared / mount.slug if mount.slug else local / "volumes" / _slug(mount.path)

"""
What lies where in a container, and whether it outlives the node.

Paths may be open (Jinja, ``$VARIABLE``): then what stands before the opening decides if it can,
else nobody.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_runai.core.fields import flag
from airflow_runai.core.jinja import OPENINGS

_OPENING = re.compile("|".join(re.escape(opening) for opening in (*OPENINGS, "$")))


class Kind(Enum):
    """What becomes of files there when the workload comes back on another node."""

    KEPT = "kept"  # claims and NFS: still there
    NODE = "node"  # a directory of the node; kept if it is itself a network mount, which only people know
    LOST = "lost"  # scratch, and what is fetched anew at each start
    UNSURE = "unsure"


#: Data source → (key of the path in the container, kind). Whether a bucket gets back what is
#: written depends on the version.
_SOURCES = {
    "pvc": ("path", Kind.KEPT),
    "nfs": ("mount_path", Kind.KEPT),
    "host_path": ("mount_path", Kind.NODE),
    "git": ("path", Kind.LOST),
    "s3": ("path", Kind.UNSURE),
    "config_map": ("mount_path", Kind.LOST),
    "secret": ("mount_path", Kind.LOST),
    "data_volume": ("mount_path", Kind.UNSURE),
    "empty_dir": ("path", Kind.LOST),
}


@dataclass(frozen=True)
class Mount:
    """One data source; ``path`` may be open; ``source`` is its kind's key in ``storage``."""

    path: str
    kind: Kind
    source: str
    where: str
    read_only: bool | None = False  # None: not known yet
    entry: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether its path is not settled yet."""
        return split_open(self.path)[1]

    @property
    def words(self) -> str:
        """What it is, for sentences."""
        return f"{self.source} at {self.path}" if self.source else "the container's own disk"


@dataclass(frozen=True)
class Mounts:
    """
    All data sources that can be read.

    :param all_known: whether there are no others.
    """

    found: tuple[Mount, ...]
    all_known: bool = True

    def beneath(self, path: str) -> Mount | None:
        """
        Return what holds ``path``: the innermost mount, or the container's own disk.

        :return: ``None`` if that cannot be known.
        """
        fixed, is_open = split_open(path)
        if not fixed.startswith("/"):
            return None
        around = [mount for mount in self.found if not mount.is_open and holds(mount.path, fixed)]
        perhaps = any(
            _may_hold(mount, fixed, is_open) for mount in self.found if mount not in around
        )
        if perhaps or not self.all_known:
            return None
        disk = Mount("/", Kind.LOST, "", "spec.storage")
        return max(around, key=lambda mount: len(mount.path), default=disk)


def _may_hold(mount: Mount, fixed: str, is_open: bool) -> bool:
    """Whether what is still open in either path could bring ``fixed`` under the mount."""
    prefix, _ = split_open(mount.path)
    return (is_open and prefix.startswith(fixed)) or (mount.is_open and fixed.startswith(prefix))


def mounts_of(storage: Mapping[str, Any]) -> Mounts:
    """Read the ``storage`` part of a specification."""
    found: list[Mount] = []
    all_known = True
    for source, entries in storage.items():
        readable = isinstance(entries, Sequence) and not isinstance(entries, str)
        all_known &= entries is None or (
            readable and all(isinstance(entry, Mapping) for entry in entries)
        )
        for index, entry in enumerate(entries if readable else ()):
            mount = _mount(source, entry, f"spec.storage.{source}[{index}]")
            all_known &= mount is not None
            found += [mount] if mount else []
    return Mounts(tuple(found), all_known)


def _mount(source: str, entry: Any, where: str) -> Mount | None:
    key, kind = _SOURCES.get(source, ("", Kind.UNSURE))
    path = entry.get(key) if isinstance(entry, Mapping) else None
    if not isinstance(path, str):
        return None
    if source == "pvc":
        kind = {True: Kind.LOST, None: Kind.UNSURE, False: Kind.KEPT}[
            _switch(entry.get("ephemeral"))
        ]
    path = path if _OPENING.search(path) else posixpath.normpath(path)
    return Mount(path, kind, source, where, _switch(entry.get("read_only")), entry)


def _switch(value: Any) -> bool | None:
    """
    Return a boolean, also from Jinja's text; nothing said is ``False``, and ``None`` is not known.
    """
    try:
        return value is not None and flag(value)
    except ValueError:
        return None


def split_open(path: str) -> tuple[str, bool]:
    """Return what stands before the first template or variable, and whether there is one."""
    hit = _OPENING.search(path)
    return (path[: hit.start()], True) if hit else (posixpath.normpath(path.strip()), False)


def holds(folder: str, path: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it, by whole segments."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")

"""
The mounts of a container, and whether they outlive the node.

Paths may be open (Jinja, ``$VARIABLE``): then the part before the opening decides, if it can.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_runai.core.jinja import OPENINGS
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.values import flag

_OPENING = re.compile("|".join(re.escape(opening) for opening in (*OPENINGS, "$")))


class Kind(Enum):
    """The fate of files there when the workload comes back on another node."""

    KEPT = "kept"  # claims and NFS: still there
    NODE = "node"  # a directory of the node: kept if it is a network mount, which we cannot see
    LOST = "lost"  # scratch, and data fetched anew at each start
    UNSURE = "unsure"


#: Data source → (key of the path in the container, kind). Whether files written to a bucket reach
#: it depends on the version.
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


#: A claim that is ephemeral goes with the workload.
_KIND_OF_CLAIM = {True: Kind.LOST, None: Kind.UNSURE, False: Kind.KEPT}


@dataclass(frozen=True)
class Mount:
    """One data source; ``path`` may be open; ``source`` is its key in ``storage``."""

    path: str
    kind: Kind
    source: str
    where: str
    read_only: bool | None = False  # None: not known yet
    entry: JsonMapping = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether its path is not known to the end."""
        return split_open(self.path)[1]

    @property
    def words(self) -> str:
        """A name for sentences."""
        return f"{self.source} at {self.path}" if self.source else "the container's own disk"


@dataclass(frozen=True)
class Mounts:
    """
    All data sources that can be read.

    :param all_known: there are no others.
    """

    found: tuple[Mount, ...]
    all_known: bool = True

    def beneath(self, path: str) -> Mount | None:
        """
        Return the innermost mount around ``path``, or the container's own disk.

        :return: ``None`` if that cannot be known.
        """
        fixed, is_open = split_open(path)
        if not fixed.startswith("/") or not self.all_known:
            return None
        around = [mount for mount in self.found if not mount.is_open and holds(mount.path, fixed)]
        others = [mount for mount in self.found if mount not in around]
        if any(_may_hold(mount, fixed, is_open) for mount in others):
            return None
        # No mount is around it, so it is a part of the container, which a new pod begins anew.
        disk = Mount("/", Kind.LOST, "", "spec.storage")
        return max(around, key=lambda mount: len(mount.path), default=disk)


def _may_hold(mount: Mount, fixed: str, is_open: bool) -> bool:
    """Return whether the open part of either path could bring ``fixed`` under the mount."""
    prefix, _ = split_open(mount.path)
    return (is_open and prefix.startswith(fixed)) or (mount.is_open and fixed.startswith(prefix))


def mounts_of(storage: JsonMapping) -> Mounts:
    """Read the ``storage`` part of a specification."""
    mounts: list[Mount | None] = []
    for source, entries in storage.items():
        if isinstance(entries, Sequence) and not isinstance(entries, str):
            for index, entry in enumerate(entries):
                mounts.append(_mount(source, entry, f"spec.storage.{source}[{index}]"))
        elif entries is not None:
            mounts.append(None)
    known = tuple(mount for mount in mounts if mount)
    return Mounts(known, all_known=len(known) == len(mounts))


def _mount(source: str, entry: Any, where: str) -> Mount | None:
    key, kind = _SOURCES.get(source, ("", Kind.UNSURE))
    path = entry.get(key) if isinstance(entry, Mapping) else None
    if not isinstance(path, str):
        return None
    if source == "pvc":
        kind = _KIND_OF_CLAIM[_flag(entry, "ephemeral")]
    path = path if _OPENING.search(path) else posixpath.normpath(path)
    return Mount(path, kind, source, where, _flag(entry, "read_only"), entry)


def _flag(entry: JsonMapping, key: str) -> bool | None:
    """Return a boolean, false by default; ``None`` if it is not known yet."""
    value = entry.get(key)
    try:
        return value is not None and flag(value)
    except ValueError:
        return None


def split_open(path: str) -> tuple[str, bool]:
    """Return the part before the first template or variable, and whether there is one."""
    hit = _OPENING.search(path)
    return (path[: hit.start()], True) if hit else (posixpath.normpath(path.strip()), False)


def holds(folder: str, path: str) -> bool:
    """Return whether ``path`` is ``folder`` or lies in it, by whole segments."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")

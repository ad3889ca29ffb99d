"""
Changes of the names in one directory: told by the system where it can, looked for where not.

A ``filled`` change is told for every write, so whoever is interested in the first must remember it.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

ChangeKind = Literal["made", "arrived", "filled", "closed"]

# <sys/inotify.h>
_MODIFY, _CLOSE_WRITE, _MOVED_TO, _CREATE, _DIRECTORY = 0x2, 0x8, 0x80, 0x100, 0x40000000
_HEAD = struct.Struct("iIII")


class Change(NamedTuple):
    """
    One change.

    :param kind: ``made`` a directory under this name, ``arrived`` by renaming, ``filled`` with some
        bytes, ``closed`` by who wrote it.
    """

    name: str
    kind: ChangeKind
    directory: bool = False


class Changes(Protocol):
    """Waits for changes."""

    def wait(self, seconds: float = 0.05) -> Iterator[Change]:
        """Yield what changed, after waiting so long at most."""

    def close(self) -> None:
        """Watch no more."""


def changes_in(directory: Path) -> Changes:
    """Watch a directory by the best means there is."""
    if sys.platform == "linux":
        with suppress(OSError):  # others on this machine may have used up all watches
            return Inotify(directory)
    return Polling(directory)


class Inotify:
    """
    The kernel's own account.

    :raises OSError: the system allows no more watches.
    """

    def __init__(self, directory: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._file = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        wanted = _MODIFY | _CLOSE_WRITE | _MOVED_TO | _CREATE
        if (
            self._file < 0
            or library.inotify_add_watch(self._file, os.fsencode(directory), wanted) < 0
        ):
            number = ctypes.get_errno()
            raise OSError(number, f"cannot watch it: {os.strerror(number)}", str(directory))

    def wait(self, seconds: float = 0.05) -> Iterator[Change]:
        """Yield what changed, after waiting so long at most."""
        if not select.select([self._file], [], [], seconds)[0]:
            return
        data = os.read(self._file, 1 << 16)
        while data:
            _, mask, _, length = _HEAD.unpack_from(data)
            name = os.fsdecode(data[_HEAD.size : _HEAD.size + length].rstrip(b"\0"))
            data = data[_HEAD.size + length :]
            yield from _changes(name, mask)

    def close(self) -> None:
        """Watch no more."""
        os.close(self._file)


def _changes(name: str, mask: int) -> Iterator[Change]:
    directory = bool(mask & _DIRECTORY)
    if mask & _MOVED_TO:
        yield Change(name, "arrived", directory)
    elif mask & _CREATE and directory:
        yield Change(name, "made", directory)
    elif mask & _MODIFY:
        yield Change(name, "filled", directory)
    elif mask & _CLOSE_WRITE:
        yield Change(name, "closed", directory)


class Polling:
    """Looks every few milliseconds: what happens between two looks is not seen, nor is a quick write in place."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known = self._look()
        self._growing: set[str] = set()

    def wait(self, seconds: float = 0.05) -> Iterator[Change]:
        """Yield what changed, after waiting so long at most."""
        time.sleep(min(seconds, 0.005))
        before, self._known = self._known, self._look()
        for name, (identity, state, directory) in self._known.items():
            old = before.get(name)
            if old is None or old[0] != identity:
                yield Change(name, "arrived", directory)
            elif directory:
                continue
            elif old[1] != state:
                self._growing.add(name)
                yield Change(name, "filled")
            elif name in self._growing:
                self._growing.discard(name)
                yield Change(name, "closed")

    def close(self) -> None:
        """Watch no more."""

    def _look(self) -> dict[str, tuple[int, tuple[int, int], bool]]:
        found = {}
        with suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                seen = entry.stat(follow_symlinks=False)
                found[entry.name] = (
                    seen.st_ino,
                    (seen.st_size, seen.st_mtime_ns),
                    entry.is_dir(follow_symlinks=False),
                )
        return found

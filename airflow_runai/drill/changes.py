"""
Changes of the names in one directory: reported by the system, or found by polling where it cannot.

A ``filled`` change is reported for every write; to act on the first alone, remember it.
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
_HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name


class Change(NamedTuple):
    """
    One change.

    :param kind: ``made`` a directory under this name, ``arrived`` by renaming, ``filled`` with some
        bytes, ``closed`` by the process that wrote it.
    """

    name: str
    kind: ChangeKind
    directory: bool = False


class Changes(Protocol):
    """Waits for changes."""

    def wait(self, seconds: float = 0.05) -> Iterator[Change]:
        """Yield what changed, after waiting at most this long."""

    def close(self) -> None:
        """Stop watching."""


def changes_in(directory: Path) -> Changes:
    """Watch a directory by the best means available."""
    if sys.platform == "linux":
        with suppress(OSError):  # other programs may have used up all watches
            return Inotify(directory)
    return Polling(directory)


class Inotify:
    """
    Changes as the kernel reports them.

    :raises OSError: the system allows no more watches.
    """

    def __init__(self, directory: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        events = _MODIFY | _CLOSE_WRITE | _MOVED_TO | _CREATE
        self._file = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watch = -1
        if self._file >= 0:
            watch = library.inotify_add_watch(self._file, os.fsencode(directory), events)
        # Either call sets the number.
        if watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot watch it: {os.strerror(number)}", str(directory))

    def wait(self, seconds: float = 0.05) -> Iterator[Change]:
        """Yield what changed, after waiting at most this long."""
        if not select.select([self._file], [], [], seconds)[0]:
            return
        data = os.read(self._file, 1 << 16)
        while data:  # several events at once; a name is padded with zeros
            _, mask, _, length = _HEAD.unpack_from(data)
            end = _HEAD.size + length
            name = os.fsdecode(data[_HEAD.size : end].rstrip(b"\0"))
            yield from _changes(name, mask)
            data = data[end:]

    def close(self) -> None:
        """Stop watching."""
        os.close(self._file)


def _changes(name: str, mask: int) -> Iterator[Change]:
    directory = bool(mask & _DIRECTORY)
    if mask & _MOVED_TO:
        yield Change(name, "arrived", directory)
    # A new file is empty: it counts once it is filled.
    elif mask & _CREATE and directory:
        yield Change(name, "made", directory)
    elif mask & _MODIFY:
        yield Change(name, "filled", directory)
    elif mask & _CLOSE_WRITE:
        yield Change(name, "closed", directory)


class _PolledEntry(NamedTuple):
    """What is compared between two polls; ``content`` is size and time of the last change."""

    inode: int
    content: tuple[int, int]
    directory: bool


class Polling:
    """Looks every few milliseconds; misses what happens in between, and quick writes in place."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._entries = self._list()
        self._growing: set[str] = set()

    def wait(self, seconds: float = 0.05) -> Iterator[Change]:
        """Yield what changed, after waiting at most this long."""
        time.sleep(min(seconds, 0.005))
        previous, self._entries = self._entries, self._list()
        for name, entry in self._entries.items():
            before = previous.get(name)
            if before is None or before.inode != entry.inode:
                yield Change(name, "arrived", entry.directory)
            elif entry.directory:
                continue
            elif before.content != entry.content:
                self._growing.add(name)
                yield Change(name, "filled")
            elif name in self._growing:  # no change since the last look: the writer is done
                self._growing.discard(name)
                yield Change(name, "closed")

    def close(self) -> None:
        """Stop watching."""

    def _list(self) -> dict[str, _PolledEntry]:
        listed = {}
        with suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                stat = entry.stat(follow_symlinks=False)
                is_directory = entry.is_dir(follow_symlinks=False)
                content = (stat.st_size, stat.st_mtime_ns)
                listed[entry.name] = _PolledEntry(stat.st_ino, content, is_directory)
        return listed

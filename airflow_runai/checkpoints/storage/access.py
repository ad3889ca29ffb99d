"""
Reads bytes from a storage: a local file, an object fetched by ranges, or any stream that can seek.

A local file is read into the caller's buffer at an offset, without a position and without a second
buffer. For an object, the next ranges are fetched while one is examined, because network round
trips dominate; each byte is fetched once, and at most ``ahead + 1`` ranges of 4 MiB are held.
Structure (headers, the ends of a file) is fetched in blocks of 64 KiB, the last few of which are
kept: a zip's small members lie side by side.

Storage libraries raise errors of any type; they pass through here and are named in
:mod:`~airflow_runai.checkpoints.checking.reader`.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from airflow_runai.checkpoints.storage.listing import Location

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Ranges fetched in advance.
AHEAD = 4
# Large enough that the round trip of a request does not count.
_RANGE = 4 * 1024 * 1024
_BLOCK = 64 * 1024
# 2 MiB in all.
_BLOCKS_KEPT = 32


class Access(Protocol):
    """An open file. Fewer bytes than requested mean that it has become shorter."""

    def at(self, offset: int, size: int) -> bytes:
        """Read a few KB anywhere, for the structure of a file."""

    def into(self, target: memoryview, offset: int) -> int:
        """Fill a part of the target, for the pass over the file; return 0 at its end."""

    def close(self) -> None:
        """Close the file and cancel what is still being fetched."""


class Blocks:
    """The blocks fetched last; every format reads the same head, which is fetched once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def get(self, path: str, number: int) -> bytes | None:
        """Return a block that is kept."""
        return self._kept.get((path, number))

    def keep(self, path: str, number: int, data: bytes) -> bytes:
        """Keep a block for a while."""
        self._kept[path, number] = data
        if len(self._kept) > _BLOCKS_KEPT:
            self._kept.popitem(last=False)
        return data


def is_remote(path: Location) -> bool:
    """Whether a path lies in a storage behind fsspec, such as ``ObjectStoragePath``."""
    return not isinstance(path, Path) and getattr(path, "fs", None) is not None


def open_access(path: Location, size: int, ahead: int, blocks: Blocks) -> Access:
    """
    Open a file for reading in the way that suits its storage.

    :param size: as it was listed, in bytes.
    :param ahead: ranges of a remote file to fetch in advance.
    :param blocks: of remote files, kept from one opening to the next.
    """
    if isinstance(path, Path):
        return _LocalFile(path)
    if is_remote(path):
        return _RangedObject(path, size, ahead, blocks)
    return _Stream(path.open("rb"))


class _LocalFile:
    def __init__(self, path: Path) -> None:
        # Not blocking: what was a file when it was listed may be a fifo by now.
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            self.close()
            raise OSError("it is no regular file any more")

    def at(self, offset: int, size: int) -> bytes:
        return os.pread(self._file, size, offset)

    def into(self, target: memoryview, offset: int) -> int:
        return os.preadv(self._file, [target], offset)

    def close(self) -> None:
        os.close(self._file)


class _Stream:
    def __init__(self, file: IO[Any]) -> None:
        self._file: Any = file
        self._at = 0

    def at(self, offset: int, size: int) -> bytes:
        # Seeking may drop what a stream has buffered, so only where it must be.
        self._seek(offset)
        data: bytes = self._file.read(size)
        self._at += len(data)
        return data

    def into(self, target: memoryview, offset: int) -> int:
        self._seek(offset)
        # A stream of a storage library may lack it.
        if hasattr(self._file, "readinto"):
            count = int(self._file.readinto(target) or 0)
        else:
            data = self._file.read(len(target))
            count = len(data)
            target[:count] = data
        self._at += count
        return count

    def _seek(self, offset: int) -> None:
        if offset != self._at:
            self._file.seek(offset)
            self._at = offset

    def close(self) -> None:
        self._file.close()


class _RangedObject:
    """One object of an fsspec file system."""

    def __init__(self, path: Any, size: int, ahead: int, blocks: Blocks) -> None:
        self._system = path.fs
        self._path = str(path.path)
        self._size = size
        self._ahead = ahead
        self._blocks = blocks
        # Imported here: only object stores need threads, and a command starts 10 % faster without.
        from concurrent.futures import ThreadPoolExecutor

        self._ranges: dict[int, Future[bytes]] = {}
        self._workers = ThreadPoolExecutor(ahead + 1, thread_name_prefix="checkpoint-range")

    def at(self, offset: int, size: int) -> bytes:
        if size > _BLOCK:
            return self._fetch(offset, offset + size)
        first = offset // _BLOCK
        last = max(offset + size - 1, offset) // _BLOCK
        data = b"".join(map(self._block, range(first, last + 1)))
        begin = offset - first * _BLOCK
        return data[begin : begin + size]

    def _block(self, number: int) -> bytes:
        kept = self._blocks.get(self._path, number)
        if kept is not None:
            return kept
        data = self._fetch(number * _BLOCK, (number + 1) * _BLOCK)
        return self._blocks.keep(self._path, number, data)

    def into(self, target: memoryview, offset: int) -> int:
        number = offset // _RANGE
        self._fetch_ahead(number)
        if number not in self._ranges:
            return 0
        data = memoryview(self._ranges[number].result())
        begin = offset - number * _RANGE
        part = data[begin : begin + len(target)]
        size = len(part)
        target[:size] = part
        return size

    def _fetch_ahead(self, number: int) -> None:
        passed = [old for old in self._ranges if old < number]
        for old in passed:
            del self._ranges[old]
        for following in range(number, number + self._ahead + 1):
            if following not in self._ranges and following * _RANGE < self._size:
                self._ranges[following] = self._workers.submit(self._range, following)

    def _range(self, number: int) -> bytes:
        # The head of a small file has been fetched already, and is all of it.
        if self._size <= _BLOCK:
            return self._block(0)
        return self._fetch(number * _RANGE, (number + 1) * _RANGE)

    def _fetch(self, begin: int, end: int) -> bytes:
        end = min(end, self._size)
        if begin >= end:
            return b""
        data: bytes = self._system.cat_file(self._path, start=begin, end=end)
        return data

    def close(self) -> None:
        # A request that hangs must not hold up the check of the next checkpoint.
        self._workers.shutdown(wait=False, cancel_futures=True)

"""
Reading one file: a few bytes at its ends for the structure, then one pass over all of it.

Memory stays flat whatever the size: one buffer of 256 KiB (it fits the CPU's second-level cache, which is what
makes several tests in one pass cheap). No mmap: a trainer that truncates the file would kill this process with
SIGBUS. Every failure of the storage, of whatever library, becomes "unreadable", never "invalid".
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

from airflow_runai.checkpoints.crc import combine
from airflow_runai.checkpoints.examination import Damage, Examination
from airflow_runai.checkpoints.tree import Tree

__all__ = ["Source", "Span"]

CHUNK = 256 * 1024
_SHORT = 64 * 1024


@dataclass
class Span:
    """
    A run of bytes inside a file that a format wants to know about.

    :param begin: first byte.
    :param end: one after the last byte.
    :param feed: told every chunk, in order; the memory is reused afterwards.
    :param summed: whether the format needs the CRC32 of this run.
    :param crc: the CRC32, once the file was read.
    """

    begin: int
    end: int
    feed: Callable[[memoryview], None] | None = None
    summed: bool = False
    crc: int = 0


class Source:
    """
    One listed file, open for reading.

    :param tree: the file, as a tree of its own.
    :param seen: the examination that counts the bytes and keeps the CRC.
    """

    def __init__(self, tree: Tree, seen: Examination) -> None:
        (self.name,) = tree.files
        self.size = tree.files[self.name].size
        self._seen = seen
        self._path = tree.root
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Source:
        self._file = self._guarded(lambda: self._path.open("rb"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def at(self, offset: int, size: int) -> bytes:
        """
        Read ``size`` bytes from ``offset``.

        :raises Damage: ``unreadable`` when the storage fails, ``changing`` when the file has become shorter.
        """
        file = self._file
        assert file is not None, "used outside of its with block"
        self._guarded(lambda: file.seek(offset))
        data: bytes = self._guarded(lambda: file.read(size))
        self._seen.count(len(data))
        if len(data) < size:
            raise self._shrunk(offset + len(data))
        return data

    def scan(self, spans: Sequence[Span]) -> int:
        """
        Read the whole file once, feed the spans, and keep its CRC32 in the examination.

        :param spans: sorted, not overlapping, inside the file.
        :return: CRC32 of the whole file.
        :raises Damage: as :meth:`at`.
        """
        file = self._file
        assert file is not None, "used outside of its with block"
        self._guarded(lambda: file.seek(0))
        buffer = memoryview(bytearray(CHUNK))
        whole = 0
        for span in _covering(spans, self.size):
            whole = self._scan_span(span, whole, buffer)
        self._seen.crcs[self.name] = (self.size, whole)
        return whole

    def _scan_span(self, span: Span, whole: int, buffer: memoryview) -> int:
        size = span.end - span.begin
        join = span.summed and size > _SHORT
        for chunk in self._chunks(span.begin, size, buffer):
            if span.summed:
                span.crc = zlib.crc32(chunk, span.crc)
            if not join:
                whole = zlib.crc32(chunk, whole)
            if span.feed is not None:
                span.feed(chunk)
        return combine(whole, span.crc, size) if join else whole

    def _chunks(self, begin: int, size: int, buffer: memoryview) -> Iterator[memoryview]:
        done = 0
        while done < size:
            chunk = buffer[: min(CHUNK, size - done)]
            filled = 0
            while filled < len(chunk):
                count = self._read_into(chunk[filled:])
                if count == 0:
                    raise self._shrunk(begin + done + filled)
                filled += count
            self._seen.count(filled)
            done += filled
            yield chunk

    def _read_into(self, target: memoryview) -> int:
        file: Any = self._file
        if hasattr(file, "readinto"):
            return int(self._guarded(lambda: file.readinto(target)) or 0)
        data = self._guarded(lambda: file.read(len(target)))
        target[: len(data)] = data
        return len(data)

    def _shrunk(self, offset: int) -> Damage:
        return Damage(
            "changing", f"ends at byte {offset}, was {self.size} bytes long when it was listed; look again later"
        )

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # storage libraries raise what they like
            raise Damage("unreadable", unreadable(error)) from error


def unreadable(error: Exception) -> str:
    """Say why something could not be read and what to do."""
    # Object stores put signed URLs into their errors.
    text = re.sub(r"\?\S+", "?…", re.sub(r"//[^/@\s]+@", "//…@", str(error)))
    cause = f"{type(error).__name__}: {text}"[:200]
    advice = (
        "let the user that runs this read it (safetensors writes mode 0600), or look again when the storage answers"
    )
    return f"cannot be read ({cause}); this says nothing about its content; {advice}"


def _covering(spans: Sequence[Span], size: int) -> Iterator[Span]:
    at = 0
    for span in spans:
        if span.begin > at:
            yield Span(at, span.begin)
        yield span
        at = span.end
    if at < size:
        yield Span(at, size)

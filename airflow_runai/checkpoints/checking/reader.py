"""
Reads one file: a few bytes at its ends for the structure, then one pass over all of it.

Memory stays flat: one buffer of 512 KiB, which fits the CPU's second-level cache and so makes
several tests in one pass cheap. No mmap: a trainer that truncates the file would kill this process
with SIGBUS. Every failure of the storage, whatever the library, becomes "unreadable", never
"invalid".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.storage.access import Access, open_access
from airflow_runai.checkpoints.storage.crc import combine, crc32
from airflow_runai.checkpoints.storage.listing import Listing

CHUNK = 512 * 1024
#: Takes the next chunk of a run of bytes.
Feed = Callable[[memoryview], None]


@dataclass
class Span:
    """
    A run of bytes inside a file that a format needs.

    :param begin: first byte.
    :param end: one after the last byte.
    :param feed: called with every chunk, in order; the memory is reused afterwards. The length of
        each chunk but the last is a multiple of 8.
    :param summed: whether the format needs the CRC32 of this run; it costs next to nothing.
    :param crc: the CRC32, once the file was read.
    """

    begin: int
    end: int
    feed: Feed | None = None
    summed: bool = False
    crc: int = 0


class Source:
    """
    One listed file, open for reading.

    :param tree: the listing of this one file.
    :param context: the check, whose cache counts the bytes and whose account keeps the CRC.
    """

    def __init__(self, tree: Listing, context: CheckContext) -> None:
        (self.name,) = tree.files
        self.size = tree.files[self.name].size
        self._cache = context.cache
        self._account = context.account
        self._path = tree.root
        self._access: Access | None = None

    def __enter__(self) -> Source:
        try:
            cache = self._cache
            self._access = open_access(self._path, self.size, cache.ahead, cache.blocks)
        except Exception as error:
            raise _refused(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._access is not None:
            self._access.close()

    def at(self, offset: int, size: int) -> bytes:
        """
        Read ``size`` bytes from ``offset``.

        :raises FormatError: ``unreadable`` when the storage fails, ``changing`` when the file has
            become shorter.
        """
        try:
            data = self._open.at(offset, size)
        except Exception as error:
            raise _refused(error) from error
        self._cache.count.add(len(data))
        if len(data) < size:
            raise self._shrunk(offset + len(data))
        return data

    def scan(self, spans: Iterable[Span]) -> int:
        """
        Read the whole file once, feed the spans, and keep its CRC32 in the account.

        :param spans: sorted, not overlapping, inside the file; taken one after the other, as the
            reading goes on.
        :return: CRC32 of the whole file.
        :raises FormatError: as :meth:`at`.
        """
        # One for all chunks: the kernel would have to clear a fresh one each time.
        buffer = memoryview(bytearray(CHUNK))
        whole = 0
        for group in _groups(_covering(spans, self.size)):
            span = group[0]
            if len(group) > 1:
                whole = self._scan_short(group, whole, buffer)
            elif span.summed:
                span.crc = self._scan_span(span, 0, buffer)
                whole = combine(whole, span.crc, span.end - span.begin)
            else:
                whole = self._scan_span(span, whole, buffer)
        self._account.crcs[self.name] = (self.size, whole)
        return whole

    def _scan_short(self, group: list[Span], whole: int, buffer: memoryview) -> int:
        """Read many short spans in one chunk."""
        # Summing twice what lies in the cache costs less than combining the sums.
        begin = group[0].begin
        chunk = self._fill(buffer, begin, group[-1].end - begin)
        for span in group:
            part = chunk[span.begin - begin : span.end - begin]
            if span.summed:
                span.crc = crc32(part)
            if span.feed is not None:
                span.feed(part)
        return crc32(chunk, whole)

    def _scan_span(self, span: Span, crc: int, buffer: memoryview) -> int:
        for at in range(span.begin, span.end, CHUNK):
            chunk = self._fill(buffer, at, min(CHUNK, span.end - at))
            crc = crc32(chunk, crc)
            if span.feed is not None:
                span.feed(chunk)
        return crc

    def _fill(self, buffer: memoryview, offset: int, size: int) -> memoryview:
        # A read may return less than was asked for, on network file systems above all.
        chunk, filled = buffer[:size], 0
        while filled < size:
            try:
                count = self._open.into(chunk[filled:], offset + filled)
            except Exception as error:
                raise _refused(error) from error
            if count == 0:
                raise self._shrunk(offset + filled)
            filled += count
        self._cache.count.add(size)
        return chunk

    @property
    def _open(self) -> Access:
        assert self._access is not None, "used outside of its with block"
        return self._access

    def _shrunk(self, offset: int) -> FormatError:
        return FormatError(
            "changing",
            f"ends at byte {offset}, was {self.size} bytes long when listed; look again later",
        )


def _refused(error: Exception) -> FormatError:
    return FormatError("unreadable", unreadable(error))


def unreadable(error: Exception) -> str:
    """Say why something could not be read and what to do."""
    if isinstance(error, ImportError):  # of a storage that fsspec knows, such as gs://
        advice = "install what is missing where Airflow runs this"
    else:
        advice = (
            "let the user that runs this read it (safetensors writes mode 0600), "
            "or look again when the storage answers"
        )
    return f"cannot be read ({cause(error)}); this says nothing about its content; {advice}"


def cause(error: Exception) -> str:
    """Render an error of a storage library in one line without secrets."""
    # Object stores put signed URLs into their errors.
    text = re.sub(r"\?\S+", "?…", re.sub(r"//[^/@\s]+@", "//…@", str(error)))
    return f"{type(error).__name__}: {text}"[:200]


def _covering(spans: Iterable[Span], size: int) -> Iterator[Span]:
    """Yield the spans and plain ones between them; an empty span is left out, its CRC is 0."""
    at = 0
    for span in spans:
        if span.begin > at:
            yield Span(at, span.begin)
        if span.end > span.begin:
            yield span
        at = span.end
    if at < size:
        yield Span(at, size)


def _groups(spans: Iterator[Span]) -> Iterator[list[Span]]:
    """Yield neighbours that fit into one chunk together; a longer span is alone."""
    group: list[Span] = []
    for span in spans:
        if group and span.end - group[0].begin > CHUNK:
            yield group
            group = []
        group.append(span)
    if group:
        yield group

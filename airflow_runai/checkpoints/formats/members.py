"""Members of a zip file: the beginning of one, and the pass that proves all of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source, Span
from airflow_runai.checkpoints.containers.inflater import Inflater
from airflow_runai.checkpoints.containers.zip_archive import STORED, Member

# Deflate makes bytes that it cannot pack a little longer.
_PACKED = 256 * 1024


def beginning(source: Source, member: Member, size: int) -> bytes:
    """
    Return the first bytes of a member, unpacked if need be, fewer if it is shorter.

    :param size: maximum; of a packed member at most 256 KiB more are read.
    :raises FormatError: ``zip-crc`` when it cannot be unpacked.
    """
    if member.method == STORED:
        return source.at(member.begin, min(member.size, size))
    packed = source.at(member.begin, min(member.packed, size + _PACKED))
    try:
        # Negative: a member of a zip file has no header of zlib.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size)
    except zlib.error as error:
        raise FormatError(
            "zip-crc", f"member {shown(member.name)} cannot be unpacked ({error})"
        ) from None


def unpacked(member: Member, packed: bytes) -> bytes:
    """
    Unpack all of a small member.

    :raises FormatError: as the inflater.
    """
    parts: list[bytes] = []
    inflater = Inflater(member, lambda chunk: parts.append(bytes(chunk)))
    inflater.push(memoryview(packed))
    inflater.finish()
    return b"".join(parts)


def note_damaged(context: CheckContext, label: str, name: str) -> None:
    """Note that the content of a member is not what was written."""
    text = f"member {shown(name)} is damaged: its CRC32 does not match"
    context.note("zip-crc", label, text)


class MemberPass:
    """
    What one member needs during the pass over the file.

    :param feed: called with its unpacked content, chunk by chunk.
    """

    def __init__(self, member: Member, feed: Callable[[memoryview], None] | None = None) -> None:
        self.member = member
        self._inflater: Inflater | None = None
        stored = member.method == STORED
        if not stored:
            self._inflater = Inflater(member, feed)
            feed = self._inflater.push
        # The CRC32 is of the unpacked bytes, so that of the packed ones is of no use.
        self.span = Span(member.begin, member.end, feed, summed=stored)

    def finish(self) -> bool:
        """
        Whether its CRC32 is the one in the directory.

        :raises FormatError: when less was unpacked than announced.
        """
        if self._inflater is not None:
            self._inflater.finish()
        return self.crc == self.member.crc

    @property
    def crc(self) -> int:
        """CRC32 of its content, once the pass is over."""
        return self.span.crc if self._inflater is None else self._inflater.crc


def prove(source: Source, passes: Sequence[MemberPass], context: CheckContext) -> list[MemberPass]:
    """
    Read the file once, and compare every member with its CRC32.

    :param passes: in the order of their place in the file.
    :return: those whose bytes are as they were written; the others are noted.
    """
    source.scan([item.span for item in passes])
    sound = []
    for item in passes:
        if item.finish():
            sound.append(item)
        else:
            note_damaged(context, source.name, item.member.name)
    return sound

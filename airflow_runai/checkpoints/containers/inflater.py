"""Unpacks deflated members of a zip file in bounded memory."""

from __future__ import annotations

import zlib

from airflow_runai.checkpoints.checking.reader import Feed
from airflow_runai.checkpoints.containers.zip_archive import Member
from airflow_runai.checkpoints.storage.crc import crc32

_SLICE = 1024 * 1024


class Inflater:
    """
    Unpacks one deflated member chunk by chunk, and never more than it announced.

    :param member: the member.
    :param feed: called with the unpacked chunks; all but the last are a multiple of 8 bytes long.
    """

    def __init__(self, member: Member, feed: Feed | None = None) -> None:
        self.member = member
        self.crc = 0
        self._size = 0
        self._feed = feed
        self._rest = b""
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)

    def push(self, packed: memoryview) -> None:
        """
        Unpack the next run of bytes.

        :raises FormatError: ``zip-crc`` when it cannot be unpacked, ``zip-bomb`` when it becomes
            more than announced.
        """
        pending: bytes | memoryview = packed
        while len(pending):
            try:
                content = self._stream.decompress(pending, _SLICE)
            except zlib.error as error:
                raise self.member.problem("zip-crc", f"cannot be unpacked ({error})") from None
            self._take(content)
            pending = self._stream.unconsumed_tail
            if self._stream.unused_data:
                raise self.member.problem("zip-structure", "has bytes behind its end")

    def finish(self) -> None:
        """
        Pass on what is left.

        :raises FormatError: ``zip-crc`` when less came out than announced.
        """
        rest = self._stream.flush()
        size = self._size + len(rest)
        # Before it is passed on: a content test cannot read half a number.
        if not self._stream.eof or size < self.member.size:
            text = f"unpacks to {size} of {self.member.size} bytes"
            raise self.member.problem("zip-crc", text)
        self._take(rest, last=True)

    def _take(self, content: bytes, *, last: bool = False) -> None:
        self._size += len(content)
        if self._size > self.member.size:
            text = f"unpacks to more than {self.member.size} bytes"
            raise self.member.problem("zip-bomb", text)
        self.crc = crc32(content, self.crc)
        if self._feed is None:
            return
        content = self._rest + content
        # The widest number that is tested has 8 bytes, and none may be fed in two parts.
        rest = 0 if last else len(content) % 8
        whole = len(content) - rest
        self._rest = content[whole:]
        self._feed(memoryview(content)[:whole])

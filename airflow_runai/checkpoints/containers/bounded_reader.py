"""
Reads a binary header field by field: numbers and texts at a place, never beyond the end.

Reads ahead in blocks of 64 KiB, so that a walk over a million small fields of a file of many GB
costs neither a million reads nor the file's size in memory. A size in a field is trusted only as
far as there are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.checking.reader import Source

#: Reads bytes: offset and size.
Read = Callable[[int, int], bytes]

_BLOCK = 64 * 1024
# Wire types of protobuf; 3 and 4 (groups) are deprecated and written by no library here.
_VARINT, _BYTES = 0, 2
_FIXED_WIDTHS = {1: 8, 5: 4}
# Protobuf reserves the three bits above for the wire type.
_FIELD_NUMBERS = range(1, 1 << 29)


class Field(NamedTuple):
    """
    One field of a protobuf message.

    :param number: as the message's declaration numbers it.
    :param value: of a number; 0 for bytes.
    :param begin: first byte of its content, when it is bytes (text, message, packed numbers).
    :param end: one after the last.
    """

    number: int
    value: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Number of bytes; 0 for a number."""
        return self.end - self.begin


class BoundedReader:
    """
    Random access to some bytes.

    :param read: reads what is not in memory yet.
    :param size: the number of bytes.
    :param code: code of the :class:`FormatError` for a place beyond the end.
    """

    def __init__(self, read: Read, size: int, code: str) -> None:
        self.size = size
        self.code = code
        self._read = read
        self._block = b""
        self._begin = 0

    @classmethod
    def on(cls, source: Source, code: str) -> BoundedReader:
        """The whole of a file."""
        return cls(source.at, source.size, code)

    @classmethod
    def over(cls, data: bytes, code: str) -> BoundedReader:
        """Bytes that are in memory already."""
        return cls(lambda at, size: data[at : at + size], len(data), code)

    def damage(self, what: str) -> FormatError:
        """Make the error for content that cannot be right."""
        return FormatError(self.code, what)

    def bytes(self, at: int, size: int) -> bytes:
        """
        Read bytes.

        :raises FormatError: if they are not all there.
        """
        if at < 0 or size > self.size - at:
            text = f"{size} bytes at {at} reach beyond the end at {self.size}"
            raise self.damage(f"{text}; it was cut or overwritten")
        if size > _BLOCK:
            return self._read(at, size)
        begin = at - self._begin
        if begin < 0 or begin + size > len(self._block):
            self._block = self._read(at, min(_BLOCK, self.size - at))
            self._begin = at
            begin = 0
        return self._block[begin : begin + size]

    def varint(self, at: int) -> tuple[int, int]:
        """
        Return a number of seven bits a byte, at most 64 in all, and the place behind it.

        :raises FormatError: when it does not end.
        """
        place = at - self._begin
        # Nearly every number is one byte in the block that is there.
        if 0 <= place < len(self._block) and self._block[place] < 0x80:
            return self._block[place], at + 1
        value = 0
        # 64 bits take at most 10 bytes; at the very end, asking for one more tells that it was cut.
        longest = min(10, max(self.size - at, 1))
        for position, byte in enumerate(self.bytes(at, longest)):
            value |= (byte & 0x7F) << 7 * position
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at + position + 1
        raise self.damage(f"number at {at} does not end; it was cut or overwritten")

    def fields(self, begin: int, end: int) -> Iterator[Field]:
        """
        Yield the fields of the protobuf message between two places.

        :raises FormatError: if they do not end where the message does.
        """
        at = begin
        while at < end:
            tag, at = self.varint(at)
            number = tag >> 3
            if number not in _FIELD_NUMBERS:
                raise self.damage(f"field number {number} at {at}; it was overwritten")
            field = self._field(number, tag & 7, at)
            at = field.end
            if at > end:
                text = f"field {number} reaches to {at}, its message ends at {end}; it was cut"
                raise self.damage(text)
            yield field

    def _field(self, number: int, wire: int, at: int) -> Field:
        if wire == _BYTES:
            size, at = self.varint(at)
            return Field(number, 0, at, at + size)
        if wire == _VARINT:
            value, end = self.varint(at)
        elif wire in _FIXED_WIDTHS:
            end = at + _FIXED_WIDTHS[wire]
            value = int.from_bytes(self.bytes(at, end - at), "little")
        else:
            text = f"field {number} at {at} has wire type {wire}; 0, 1, 2 and 5 are allowed"
            raise self.damage(text)
        return Field(number, value, end, end)

    def text(self, field: Field, limit: int = 4096) -> str:
        """
        Return the content of a field as text; bytes that are not UTF-8 are replaced.

        :raises FormatError: if it is longer than ``limit`` bytes.
        """
        if field.size > limit:
            text = f"a name of {field.size} bytes at {field.begin}; at most {limit} are read"
            raise self.damage(text)
        return self.bytes(field.begin, field.size).decode("utf-8", "replace")


class Cursor:
    """
    A place in a reader that moves forward with what is taken.

    :param at: where it begins.
    """

    def __init__(self, reader: BoundedReader, at: int = 0) -> None:
        self.reader = reader
        self.at = at

    def number(self) -> int:
        """Take a number, as :meth:`BoundedReader.varint`."""
        value, self.at = self.reader.varint(self.at)
        return value

    def numbers(self, count: int) -> list[int]:
        """Take several numbers."""
        return [self.number() for _ in range(count)]

    def take(self, size: int) -> bytes:
        """Take bytes, as :meth:`BoundedReader.bytes`."""
        data = self.reader.bytes(self.at, size)
        self.at += size
        return data

"""
Finds the directory of a zip file by the records at its end, in sizes of 32 and 64 bits.

Nothing may follow the end record, not even a comment: it could hide another one.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.checking.reader import Source

#: Stands in a field of 32 bits whose value is in a record of 64 bits.
FULL = 0xFFFFFFFF
# Bytes of a directory entry without its name and extra field.
_ENTRY_SIZE = 46
# A checkpoint has a member for each tensor; the directory is held in memory.
_DIRECTORY_LIMIT = 32 * 1024 * 1024
_MEMBER_LIMIT = 200_000

# An x is a byte that nothing compares: versions, which no loader reads.
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQ4xIIQQQQ")
_LOCATOR64 = struct.Struct("<4xIQI")


class Directory(NamedTuple):
    """Where the central directory lies, and how many entries it has."""

    begin: int
    size: int
    entries: int

    @property
    def end(self) -> int:
        """One after its last byte."""
        return self.begin + self.size


# What the end record says of a directory whose numbers are in the zip64 end record.
_ELSEWHERE = Directory(FULL, FULL, 0xFFFF)


def damaged(text: str) -> FormatError:
    """Make the error for records that contradict each other."""
    return FormatError("zip-structure", text)


def locate_directory(source: Source) -> Directory:
    """
    Find the central directory.

    :raises FormatError: ``zip-structure``, or ``zip-mismatch`` if two end records disagree.
    """
    if source.size < _END.size:
        raise damaged(f"{source.size} bytes are too few for a zip file; it was cut")
    at = source.size - _END.size
    magic, disk, first, here, count, size, begin, comment = _END.unpack(source.at(at, _END.size))
    if magic != b"PK\5\6" or comment:
        raise damaged("no end record at the end of the file; it was cut or something was appended")
    if disk or first or here != count:
        raise damaged("an archive in several parts; only whole ones are read")
    directory = Directory(begin, size, count)
    locator = at - _LOCATOR64.size
    if locator >= _END64.size and source.at(locator, 4) == b"PK\6\7":
        at, wide = _locate64(source, locator)
        for value, *allowed in zip(directory, wide, _ELSEWHERE, strict=True):
            if value not in allowed:
                raise FormatError("zip-mismatch", "the two end records disagree")
        directory = wide
    if directory.end != at:
        raise damaged(f"directory ends at byte {directory.end}, end record begins at {at}")
    _check_size(directory)
    return directory


def _locate64(source: Source, locator: int) -> tuple[int, Directory]:
    """Return where the zip64 end record begins, and the directory that it tells of."""
    disk, at, disks = _LOCATOR64.unpack(source.at(locator, _LOCATOR64.size))
    if disk or disks != 1 or at + _END64.size != locator:
        raise damaged("zip64 locator does not point at the record before it")
    record = _END64.unpack(source.at(at, _END64.size))
    magic, length, disk, first, here, count, size, begin = record
    # The length does not count the magic number and itself.
    is_record = magic == b"PK\6\6" and length == _END64.size - 12
    if not is_record or disk or first or here != count:
        raise damaged("zip64 end record is damaged")
    return at, Directory(begin, size, count)


def _check_size(directory: Directory) -> None:
    size, count = directory.size, directory.entries
    if size > _DIRECTORY_LIMIT or count > _MEMBER_LIMIT or size < count * _ENTRY_SIZE:
        raise damaged(f"directory of {size} bytes for {count} members is not believable")

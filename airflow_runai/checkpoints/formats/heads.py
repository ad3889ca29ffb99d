"""
The ends of a file, by which formats recognise it; read once for all formats.

Bytes decide before names. A name only says what a damaged file was meant to be, and only if the
bytes are not those of another format.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.storage.listing import Listing

_SIZE = 512
_NAMES_LIMIT = 64 * 1024
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_SIZE = 20
_FULL = 0xFFFFFFFF
_CENTRAL_SIZE = 46
#: Marks of files that no format here reads, whatever their name: place, bytes, name.
_FOREIGN = (
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"7z\xbc\xaf", "7z"),
    (0, b"\x93NUMPY", "one array of NumPy (npy)"),
    (4, b"TFL3", "TensorFlow Lite"),
    (257, b"ustar", "tar"),
    (0, b"PAR1", "Parquet"),
    (0, b"ARROW1", "Arrow"),
    (0, b"SQLite format 3\0", "SQLite"),
    (0, b"\x7fELF", "a program"),
    (0, b"RIFF", "RIFF"),
)


def head(tree: Listing, context: CheckContext) -> bytes:
    """
    Return the first 512 bytes of a file, fewer if it is shorter; nothing of a directory.

    :raises FormatError: when it cannot be read.
    """
    if not tree.single or not tree.files:
        return b""
    if tree.label not in context.cache.heads:
        with Source(tree, context) as source:
            context.cache.heads[tree.label] = source.at(0, min(source.size, _SIZE))
    return context.cache.heads[tree.label]


def foreign(first: bytes) -> str:
    """
    Return the name of a well-known format that is not read here; empty if it is none.

    :param first: the first bytes of the file.
    """
    return next((name for at, mark, name in _FOREIGN if first[at : at + len(mark)] == mark), "")


def meant_by(*endings: str) -> Callable[[Listing, CheckContext], bool]:
    """Make a test of whether the ending of a file's name says what it was meant to be."""

    def meant(tree: Listing, context: CheckContext) -> bool:
        return tree.single and tree.label.endswith(endings) and not foreign(head(tree, context))

    return meant


def first_member(tree: Listing, context: CheckContext) -> str:
    """Name of the first member of a zip file; empty when it is none."""
    data = head(tree, context)
    if not data.startswith(b"PK\3\4") or len(data) < 30:
        return ""
    return data[30 : 30 + int.from_bytes(data[26:28], "little")].decode("utf-8", "replace")


def members(tree: Listing, context: CheckContext) -> tuple[str, ...]:
    """
    Return the names in the first 64 KiB of a zip directory; the first member if the file was cut.

    They serve to recognise the file: nothing is compared. A zip file that has lost its head still
    has them.

    :raises FormatError: if it cannot be read.
    """
    if not tree.single or not tree.files:
        return ()
    if tree.label not in context.cache.member_names:
        with Source(tree, context) as source:
            names = _listed(source) or list(filter(None, [first_member(tree, context)]))
            context.cache.member_names[tree.label] = tuple(names)
    return context.cache.member_names[tree.label]


def _listed(source: Source) -> list[str]:
    begin, size = _directory(source)
    data = source.at(begin, min(size, _NAMES_LIMIT)) if size else b""
    names, at = [], 0
    while data[at : at + 4] == b"PK\1\2" and at + _CENTRAL_SIZE <= len(data):
        name, extra, comment = struct.unpack_from("<HHH", data, at + 28)
        begin = at + _CENTRAL_SIZE
        names.append(data[begin : begin + name].decode("utf-8", "replace"))
        at += _CENTRAL_SIZE + name + extra + comment
    return names


def _directory(source: Source) -> tuple[int, int]:
    """Return offset and size of the directory; (0, 0) if the records at the end are wrong."""
    if source.size < _END.size:
        return 0, 0
    tail = source.at(source.size - _END.size, _END.size)
    magic, _, _, _, _, size, begin, comment = _END.unpack(tail)
    if magic != b"PK\5\6" or comment:
        return 0, 0
    before = source.size - _END.size - _LOCATOR_SIZE - _END64.size
    if _FULL in (size, begin) and before >= 0:
        magic, *_, size, begin = _END64.unpack(source.at(before, _END64.size))
    return (begin, size) if begin + size <= source.size else (0, 0)

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

# Enough for the mark of a tar file, and for the first keys of a pickle in a zip file.
_SIZE = 512
_NAMES_LIMIT = 64 * 1024
# End of the directory, its form for large files, and the record between the two.
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_SIZE = 20
_FULL = 0xFFFFFFFF
# Fixed parts of a member's own header, and of its entry in the directory.
_LOCAL_SIZE = 30
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
    heads = context.cache.heads
    if tree.label not in heads:
        with Source(tree, context) as source:
            heads[tree.label] = source.at(0, min(source.size, _SIZE))
    return heads[tree.label]


def foreign(first: bytes) -> str:
    """
    Return the name of a well-known format that is not read here; empty if it is none.

    :param first: the first bytes of the file.
    """
    for at, mark, name in _FOREIGN:
        if first.startswith(mark, at):
            return name
    return ""


def meant_by(*endings: str) -> Callable[[Listing, CheckContext], bool]:
    """Make a test of whether the ending of a file's name says what it was meant to be."""

    def meant(tree: Listing, context: CheckContext) -> bool:
        return tree.single and tree.label.endswith(endings) and not foreign(head(tree, context))

    return meant


def members(tree: Listing, context: CheckContext) -> tuple[str, ...]:
    """
    Return the names in the first 64 KiB of a zip directory; the first member if the file was cut.

    They serve to recognise the file: nothing is compared. A zip file that has lost its head still
    has them.

    :raises FormatError: if it cannot be read.
    """
    if not tree.single or not tree.files:
        return ()
    names = context.cache.member_names
    if tree.label not in names:
        with Source(tree, context) as source:
            listed = _listed(source)
        names[tree.label] = tuple(listed or _first(head(tree, context)))
    return names[tree.label]


def _first(data: bytes) -> list[str]:
    if not data.startswith(b"PK\3\4") or len(data) < _LOCAL_SIZE:
        return []
    end = _LOCAL_SIZE + int.from_bytes(data[26:28], "little")
    name = data[_LOCAL_SIZE:end].decode("utf-8", "replace")
    return [name] if name else []


def _listed(source: Source) -> list[str]:
    begin, size = _directory(source)
    data = source.at(begin, min(size, _NAMES_LIMIT)) if size else b""
    names = []
    at = 0
    while data.startswith(b"PK\1\2", at) and at + _CENTRAL_SIZE <= len(data):
        # Lengths of name, extra field and comment, which follow in this order.
        name, extra, comment = struct.unpack_from("<HHH", data, at + 28)
        at += _CENTRAL_SIZE
        names.append(data[at : at + name].decode("utf-8", "replace"))
        at += name + extra + comment
    return names


def _directory(source: Source) -> tuple[int, int]:
    """Return offset and size of the directory; (0, 0) if the records at the end are wrong."""
    end = source.size - _END.size
    if end < 0:
        return 0, 0
    magic, _, _, _, _, size, begin, comment = _END.unpack(source.at(end, _END.size))
    # No writer of checkpoints adds a comment, behind which this record would have to be searched.
    if magic != b"PK\5\6" or comment:
        return 0, 0
    before = end - _LOCATOR_SIZE - _END64.size
    # Numbers that do not fit into 32 bits stand in a second record in front.
    if _FULL in (size, begin) and before >= 0:
        *_, size, begin = _END64.unpack(source.at(before, _END64.size))
    return (begin, size) if begin + size <= source.size else (0, 0)

"""
Reads a zip file as PyTorch writes it, strictly: directory, local headers and file must agree.

Not compared, because nothing that loads a checkpoint uses them: the versions, the padding in a
local header's extra field and the attributes of a directory entry. Every other bit of the file is
proven by another one.

``zipfile`` is not used, because it accepts what hides damage and attacks: slack before the end
record, a local header that names another file, two members of one name, members that overlap. The
layout is PKWARE's APPNOTE 6.3; :mod:`~airflow_runai.checkpoints.formats.torch_zip` has what is
special to PyTorch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.containers.zip_end_records import (
    FULL,
    damaged,
    locate_directory,
)

STORED, DEFLATED = 0, 8
# Deflate reaches 1000 to 1; a checkpoint whose weights pack better than 100 to 1 is no checkpoint.
_BOMB_RATIO = 100
_BOMB_FLOOR = 64 * 1024 * 1024
_ZIP64_EXTRA = 1
# Options of deflate (bits 1 and 2), a data descriptor (3), names in UTF-8 (11).
_KNOWN_FLAGS = 0x080E

# An x is a byte that nothing compares: see above.
_CENTRAL = struct.Struct("<4s4x8sIIIHHHH6xI")
_LOCAL = struct.Struct("<4s2x8sIIIHH")


@dataclass(frozen=True)
class Member:
    """
    One file inside the archive.

    :param name: as stored, inside the archive's folder.
    :param crc: CRC32 of the uncompressed content, as the directory says; 0 also when none was
        computed.
    :param begin: first byte of its (compressed) content in the file.
    :param packed: size in the file, in bytes.
    :param size: size of the content, in bytes.
    :param agreed: flags, method and time, which stand in the directory and in the local header.
    """

    name: str
    crc: int
    header: int
    packed: int
    size: int
    agreed: bytes
    begin: int = 0

    @property
    def end(self) -> int:
        """One after its last byte in the file."""
        return self.begin + self.packed

    @property
    def flags(self) -> int:
        """The general purpose bit flag."""
        return self.agreed[0] | self.agreed[1] << 8

    @property
    def method(self) -> int:
        """How it is compressed: :data:`STORED` or :data:`DEFLATED`."""
        return self.agreed[2] | self.agreed[3] << 8

    @property
    def streamed(self) -> bool:
        """Whether sizes follow the content in a data descriptor."""
        return bool(self.flags & 0x08)

    def problem(self, code: str, text: str) -> FormatError:
        """Make the error for something that is wrong with it."""
        return FormatError(code, f"member {shown(self.name)} {text}")


def read_directory(source: Source) -> list[Member]:
    """
    Read and cross-check the whole directory.

    :return: members in the order of their place in the file.
    :raises FormatError: ``zip-structure``, ``zip-name``, ``zip-duplicate``, ``zip-overlap``,
        ``zip-mismatch`` or ``zip-bomb``.
    """
    directory = locate_directory(source)
    entries = _entries(source.at(directory.begin, directory.size), directory.entries)
    members = sorted(entries, key=lambda member: member.header)
    names = {member.name for member in members}
    if len(names) != len(members):
        text = "two members have one name; the later one would silently win"
        raise FormatError("zip-duplicate", text)
    total = sum(member.size for member in members)
    if total > _BOMB_RATIO * source.size + _BOMB_FLOOR:
        text = f"unpacks to more than {_BOMB_RATIO} times the size of the file"
        raise FormatError("zip-bomb", text)
    return list(_placed(source, members, directory.begin))


def _entries(data: bytes, count: int) -> Iterator[Member]:
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(data):
            raise damaged("directory is shorter than its number of entries")
        member, at = _entry(data, at)
        yield member
    if at != len(data):
        raise damaged(f"{len(data) - at} bytes in the directory belong to no entry")


def _entry(data: bytes, at: int) -> tuple[Member, int]:
    """Return the member at a place of the directory, and where its entry ends."""
    fields = _CENTRAL.unpack_from(data, at)
    magic, agreed, crc, packed, size, name_size, extra_size, comment, disk, header = fields
    name_begin = at + _CENTRAL.size
    name_end = name_begin + name_size
    end = name_end + extra_size
    if magic != b"PK\1\2" or comment or disk or end > len(data):
        raise damaged(f"directory entry at byte {at} is damaged")
    name = _name(data[name_begin:name_end])
    size, packed, header = _widened(data[name_end:end], size, packed, header)
    member = Member(name, crc, header, packed, size, agreed)
    _check_compression(member)
    return member, end


def _name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("zip-name", f"member name {shown(raw)} is not UTF-8") from None
    parts = name.split("/")
    leaves = "" in parts[:-1] or not {".", ".."}.isdisjoint(parts)
    if leaves or not set(name).isdisjoint("\\\0:"):
        text = f"member name {shown(name)} would leave its folder"
        raise FormatError("zip-name", f"{text}; names are relative without '..'")
    return name


def _widened(extra: bytes, *values: int) -> Iterator[int]:
    """Replace 32-bit values that are full by those of 64 bits from the zip64 extra field."""
    wide = _zip64_field(extra)
    for value in values:
        if value == FULL:
            if len(wide) < 8:
                raise damaged("zip64 sizes are missing")
            value = int.from_bytes(wide[:8], "little")
            wide = wide[8:]
        yield value


def _zip64_field(extra: bytes) -> bytes:
    at, field = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        begin = at + 4
        at = begin + length
        if kind == _ZIP64_EXTRA:
            field = extra[begin:at]
    return field


def _check_compression(member: Member) -> None:
    flags, method = member.flags, member.method
    if flags & ~_KNOWN_FLAGS:
        text = f"has flags 0x{flags:04x}: encrypted or unheard of"
        raise member.problem("zip-structure", text)
    if method not in (STORED, DEFLATED):
        raise member.problem("zip-structure", f"uses compression {method}; 0 and 8 are read")
    if method == STORED and member.packed != member.size:
        raise member.problem("zip-structure", "is stored, yet has two sizes")


def _placed(source: Source, members: list[Member], directory: int) -> Iterator[Member]:
    """Find each member's content, and check that members follow each other without gap."""
    at = 0
    for member in members:
        if member.header != at:
            problem = "overlaps the one before" if member.header < at else "leaves a gap"
            raise member.problem("zip-overlap", f"{problem} (byte {at})")
        # Before its local header is read, which must lie before the directory, too.
        _check_end(member, at + _LOCAL.size + member.packed, directory)
        placed = replace(member, begin=_content_begin(source, member, directory))
        _check_end(member, placed.end, directory)
        yield placed
        at = placed.end
        if placed.streamed:
            at += _descriptor_size(source, placed, directory)
    if at != directory:
        text = f"{directory - at} bytes before the directory belong to no member"
        raise FormatError("zip-overlap", text)


def _check_end(member: Member, end: int, directory: int) -> None:
    if end > directory:
        raise member.problem("zip-overlap", "reaches into the directory")


def _content_begin(source: Source, member: Member, directory: int) -> int:
    """Check the local header against the directory; return where the content begins."""
    header = source.at(member.header, _LOCAL.size)
    magic, agreed, crc, packed, size, name_size, extra_size = _LOCAL.unpack(header)
    names = member.header + _LOCAL.size
    begin: int = names + name_size + extra_size
    name = shown(member.name)
    if magic != b"PK\3\4" or begin > directory:
        raise damaged(f"no local header for member {name} at byte {member.header}")
    raw = source.at(names, begin - names)
    if raw[:name_size] != member.name.encode() or agreed != member.agreed:
        text = f"local header and directory disagree about member {name}"
        raise FormatError("zip-mismatch", text)
    size, packed = _widened(raw[name_size:], size, packed)
    sizes = (crc, packed, size)
    # A writer that streams learns the sizes last; they are in the data descriptor then.
    is_deferred = member.streamed and not any(sizes)
    if sizes != (member.crc, member.packed, member.size) and not is_deferred:
        text = f"local header and directory disagree about the size of {name}"
        raise FormatError("zip-mismatch", text)
    return begin


def _descriptor_size(source: Source, member: Member, directory: int) -> int:
    """Return the size of the data descriptor behind a member, after comparing it."""
    data = source.at(member.end, min(24, directory - member.end))
    expected = (b"PK\7\x08", member.crc, member.packed, member.size)
    # Sizes of 64 bits or of 32; nothing but the content says which.
    for layout in ("<4sIQQ", "<4sIII"):
        size = struct.calcsize(layout)
        if len(data) >= size and struct.unpack(layout, data[:size]) == expected:
            return size
    text = f"data descriptor and directory disagree about member {shown(member.name)}"
    raise FormatError("zip-mismatch", text)

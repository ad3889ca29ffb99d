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

STORED, DEFLATED = 0, 8
_DIRECTORY_LIMIT = 32 * 1024 * 1024
_MEMBER_LIMIT = 200_000
_BOMB_RATIO, _BOMB_FLOOR = 100, 64 * 1024 * 1024

_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<4sIQI")
_CENTRAL = struct.Struct("<4sHH8sIIIHHHHHII")
_LOCAL = struct.Struct("<4sH8sIIIHH")


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
    """

    name: str
    method: int
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
    def streamed(self) -> bool:
        """Whether sizes follow the content in a data descriptor."""
        return bool(self.agreed[0] & 0x08)


def read_directory(source: Source) -> list[Member]:
    """
    Read and cross-check the whole directory.

    :return: members in the order of their place in the file.
    :raises FormatError: ``zip-structure``, ``zip-name``, ``zip-duplicate``, ``zip-overlap``,
        ``zip-mismatch`` or ``zip-bomb``.
    """
    begin, size, count = _locate(source)
    members = sorted(_central(source.at(begin, size), count), key=lambda member: member.header)
    names = {member.name for member in members}
    if len(names) != len(members):
        raise FormatError(
            "zip-duplicate", "two members have one name; the later one would silently win"
        )
    if sum(member.size for member in members) > _BOMB_RATIO * source.size + _BOMB_FLOOR:
        raise FormatError(
            "zip-bomb", f"unpacks to more than {_BOMB_RATIO} times the size of the file"
        )
    return list(_placed(source, members, begin))


def _damaged(text: str) -> FormatError:
    return FormatError("zip-structure", text)


def _locate(source: Source) -> tuple[int, int, int]:
    """Return offset, size and entry count of the central directory."""
    if source.size < _END.size:
        raise _damaged(f"{source.size} bytes are too few for a zip file; it was cut")
    at = source.size - _END.size
    magic, disk, first, here, count, size, begin, comment = _END.unpack(source.at(at, _END.size))
    if magic != b"PK\5\6" or comment:
        raise _damaged("no end record at the end of the file; it was cut or something was appended")
    if disk or first or here != count:
        raise _damaged("an archive in several parts; only whole ones are read")
    small = (begin, size, count)
    if at >= _LOCATOR64.size + _END64.size and source.at(at - _LOCATOR64.size, 4) == b"PK\6\7":
        at, begin, size, count = _locate64(source, at - _LOCATOR64.size)
        limits = (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF)
        fields = zip(small, (begin, size, count), limits, strict=True)
        if any(old not in (new, limit) for old, new, limit in fields):
            raise FormatError("zip-mismatch", "the two end records disagree")
    if begin + size != at:
        raise _damaged(f"directory ends at byte {begin + size}, end record begins at {at}")
    if size > _DIRECTORY_LIMIT or count > _MEMBER_LIMIT or size < count * _CENTRAL.size:
        raise _damaged(f"directory of {size} bytes for {count} members is not believable")
    return begin, size, count


def _locate64(source: Source, locator: int) -> tuple[int, int, int, int]:
    _, disk, at, disks = _LOCATOR64.unpack(source.at(locator, _LOCATOR64.size))
    if disk or disks != 1 or at + _END64.size != locator:
        raise _damaged("zip64 locator does not point at the record before it")
    magic, length, _, _, disk, first, here, count, size, begin = _END64.unpack(
        source.at(at, _END64.size)
    )
    if magic != b"PK\6\6" or length != _END64.size - 12 or disk or first or here != count:
        raise _damaged("zip64 end record is damaged")
    return at, begin, size, count


def _central(data: bytes, count: int) -> Iterator[Member]:
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(data):
            raise _damaged("directory is shorter than its number of entries")
        fields = _CENTRAL.unpack_from(data, at)
        magic, _, _, agreed, crc, packed, size, n, e, comment, disk, _, _, header = fields
        end = at + _CENTRAL.size + n + e
        if magic != b"PK\1\2" or comment or disk or end > len(data):
            raise _damaged(f"directory entry at byte {at} is damaged")
        name = _name(data[at + _CENTRAL.size : end - e])
        size, packed, header = _widened(data[end - e : end], size, packed, header)
        yield _checked(Member(name, agreed[2] | agreed[3] << 8, crc, header, packed, size, agreed))
        at = end
    if at != len(data):
        raise _damaged(f"{len(data) - at} bytes in the directory belong to no entry")


def _name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("zip-name", f"member name {shown(raw)} is not UTF-8") from None
    parts = name.split("/")
    leaves = "" in parts[:-1] or ".." in parts or "." in parts
    if leaves or not set(name).isdisjoint("\\\0:"):
        text = f"member name {shown(name)} would leave its folder"
        raise FormatError("zip-name", f"{text}; names are relative without '..'")
    return name


def _widened(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Replace 32-bit fields that are full by their 64-bit values from the zip64 extra field."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        wide = extra[at + 4 : at + 4 + length] if kind == 1 else wide
        at += 4 + length
    values = []
    for value in (size, packed, header):
        if value == 0xFFFFFFFF:
            if len(wide) < 8:
                raise _damaged("zip64 sizes are missing")
            value, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        values.append(value)
    return values[0], values[1], values[2]


def _checked(member: Member) -> Member:
    flags = member.agreed[0] | member.agreed[1] << 8
    if flags & ~0x080E:
        raise _damaged(
            f"member {shown(member.name)} has flags 0x{flags:04x}: encrypted or unheard of"
        )
    if member.method not in (STORED, DEFLATED):
        raise _damaged(
            f"member {shown(member.name)} uses compression {member.method}; 0 and 8 are read"
        )
    if member.method == STORED and member.packed != member.size:
        raise _damaged(f"member {shown(member.name)} is stored, yet has two sizes")
    return member


def _placed(source: Source, members: list[Member], directory: int) -> Iterator[Member]:
    """Find each member's content, and check that members follow each other without gap."""
    at = 0
    for member in members:
        if member.header != at:
            problem = "overlaps the one before" if member.header < at else "leaves a gap"
            raise FormatError("zip-overlap", f"member {shown(member.name)} {problem} (byte {at})")
        if at + _LOCAL.size + member.packed > directory:
            text = f"member {shown(member.name)} reaches into the directory"
            raise FormatError("zip-overlap", text)
        placed = replace(member, begin=_local(source, member, directory))
        if placed.end > directory:
            text = f"member {shown(member.name)} reaches into the directory"
            raise FormatError("zip-overlap", text)
        yield placed
        at = placed.end + (_descriptor(source, placed, directory) if placed.streamed else 0)
    if at != directory:
        text = f"{directory - at} bytes before the directory belong to no member"
        raise FormatError("zip-overlap", text)


def _local(source: Source, member: Member, directory: int) -> int:
    """Check the local header against the directory; return where the content begins."""
    header = source.at(member.header, _LOCAL.size)
    magic, _, agreed, crc, packed, size, n, e = _LOCAL.unpack(header)
    begin = member.header + _LOCAL.size + n + e
    if magic != b"PK\3\4" or begin > directory:
        raise _damaged(f"no local header for member {shown(member.name)} at byte {member.header}")
    raw = source.at(member.header + _LOCAL.size, n + e)
    if raw[:n] != member.name.encode() or agreed != member.agreed:
        text = f"local header and directory disagree about member {shown(member.name)}"
        raise FormatError("zip-mismatch", text)
    size, packed, _ = _widened(raw[n:], size, packed, 0)
    sizes = (crc, packed, size)
    is_deferred = member.streamed and sizes == (0, 0, 0)
    if sizes != (member.crc, member.packed, member.size) and not is_deferred:
        text = f"local header and directory disagree about the size of {shown(member.name)}"
        raise FormatError("zip-mismatch", text)
    return int(begin)


def _descriptor(source: Source, member: Member, directory: int) -> int:
    """Return the size of the data descriptor behind a member, after comparing it."""
    data = source.at(member.end, min(24, directory - member.end))
    expected = (b"PK\7\x08", member.crc, member.packed, member.size)
    for layout in ("<4sIQQ", "<4sIII"):
        size = struct.calcsize(layout)
        if len(data) >= size and struct.unpack(layout, data[:size]) == expected:
            return size
    text = f"data descriptor and directory disagree about member {shown(member.name)}"
    raise FormatError("zip-mismatch", text)

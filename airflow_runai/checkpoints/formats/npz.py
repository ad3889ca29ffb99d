"""
Arrays of NumPy: ``.npz``, a zip file of ``.npy`` members, stored or deflated.

Every byte is proven by the CRC32s of the zip file. An array of Python objects is a pickle, which
``numpy.load`` would run if it is allowed to; it is refused by its header, and never looked into. A
single ``.npy`` is not read: it can be proven by nothing.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from math import prod
from typing import Any, TypeGuard

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.tensor_content import TensorContent
from airflow_runai.checkpoints.containers.zip_archive import Member, read_directory
from airflow_runai.checkpoints.formats.claims import claim
from airflow_runai.checkpoints.formats.heads import head, meant_by, members
from airflow_runai.checkpoints.formats.members import MemberPass, beginning, prove
from airflow_runai.checkpoints.formats.runs import NUMPY_KINDS, count_tensors, is_size
from airflow_runai.checkpoints.storage.listing import Listing

# numpy.lib.format refuses longer ones as well, unless pickles are allowed (NumPy 2.4).
_HEADER_LIMIT = 10_000
# Order of bytes, letter, count; behind it the unit of a date, as in <M8[ns].
_DTYPE = re.compile(r"[<>|=]?([a-zA-Z?])(\d{0,9})(?:\[\w{1,8}\])?")


@dataclass(frozen=True)
class _Array:
    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: str
    byteorder: ByteOrder
    begin: int
    member: Member

    def content(self) -> TensorContent:
        # The run is the whole member, whose header is no number.
        size = self.member.size
        return TensorContent(self.name, self.kind, self.begin, size, self.byteorder)


def _detect(tree: Listing, context: CheckContext) -> bool:
    names = members(tree, context) if head(tree, context).startswith(b"PK\3\4") else ()
    return bool(names) and all(name.endswith(".npy") for name in names)


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        arrays = [_array(source, member) for member in read_directory(source)]
        count_tensors(context, tree.label, [array.name for array in arrays])
        for array in arrays:
            entry = TensorEntry(array.dtype, array.shape, array.member.crc)
            context.account.enter(tree.label, array.name, entry)
            _claim_step(source, array, context)
        if context.level >= 2:
            _read_everything(source, arrays, context)


def _array(source: Source, member: Member) -> _Array:
    """Read the header of one member, and compare shape and size."""
    begin, header = _header(source, member)
    descr = header["descr"]
    shape = header["shape"]
    if not _is_shape(shape):
        raise _damage(member, f"has shape {shown(str(shape))}; whole numbers from 0 are allowed")
    size = member.size - begin
    if prod(shape) * _width(descr, member) != size:
        raise _damage(
            member, f"has {size} bytes behind its header, its shape and dtype need others"
        )
    dtype = descr if isinstance(descr, str) else "structured"
    # Numbers at no multiple of their size are not tested; NumPy does not write them.
    tested = begin % 8 == 0
    return _Array(
        name=member.name.removesuffix(".npy"),
        dtype=dtype,
        shape=shape,
        kind=NUMPY_KINDS.get(dtype[1:], "bytes") if tested else "bytes",
        byteorder="big" if dtype.startswith(">") else "little",
        begin=begin,
        member=member,
    )


def _header(source: Source, member: Member) -> tuple[int, dict[str, Any]]:
    """Return where the numbers begin, and what stands in front of them (formats 1.0 to 3.0)."""
    data = beginning(source, member, 12 + _HEADER_LIMIT)
    is_array = member.name.endswith(".npy") and data.startswith(b"\x93NUMPY")
    if not is_array or data[6:7] not in (b"\1", b"\2", b"\3"):
        raise _damage(member, "is no array of NumPy, format 1 to 3")
    # Behind mark and version the length of the header; 4 bytes since format 2.
    start = 10 if data[6] == 1 else 12
    begin = start + int.from_bytes(data[8:start], "little")
    if begin > len(data):
        limit = f"at most {_HEADER_LIMIT}, and all of the member, are read"
        raise _damage(member, f"has a header of {begin} bytes; {limit}")
    return begin, _parsed(data[start:begin], member)


def _damage(member: Member, what: str) -> FormatError:
    return FormatError("npz-layout", f"member {shown(member.name)} {what}")


def _parsed(data: bytes, member: Member) -> dict[str, Any]:
    """Read the header: a Python dictionary of plain values, which is parsed and never evaluated."""
    # literal_eval raises any of these for a text that is no literal, or nested too deeply.
    try:
        header = ast.literal_eval(data.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _damage(member, "has a header that is no dictionary of plain values") from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise _damage(member, "has a header with other keys than descr, fortran_order and shape")
    return header


def _is_shape(shape: object) -> TypeGuard[tuple[int, ...]]:
    # NumPy 2 allows 64 dimensions, NumPy 1 half of them.
    return isinstance(shape, tuple) and len(shape) <= 64 and all(map(is_size, shape))


def _width(descr: object, member: Member) -> int:
    """Size of one item in bytes, fields of a structured type included."""
    total = 0
    pending = [(descr, 1)]
    while pending:
        item, times = pending.pop()
        if isinstance(item, list):
            pending += [_field(field, times, member) for field in item]
        else:
            total += times * _plain_width(item, member)
    return total


def _plain_width(descr: object, member: Member) -> int:
    match = _DTYPE.fullmatch(descr) if isinstance(descr, str) else None
    if match is None:
        raise _damage(member, f"has dtype {shown(str(descr))}, which is not known")
    letter = match[1]
    count = int(match[2] or 1)
    if letter == "O":
        raise FormatError(
            "npz-object",
            f"member {shown(member.name)} holds Python objects: a pickle; "
            f"save plain arrays instead",
        )
    # U counts characters, four bytes each; the others count bytes.
    return count * 4 if letter == "U" else count


def _field(field: object, times: int, member: Member) -> tuple[object, int]:
    """Return dtype and number of one field: ``(name, dtype)`` or ``(name, dtype, shape)``."""
    match field:
        case (_, descr):
            return descr, times
        case (_, descr, shape) if _is_shape(shape):
            return descr, times * prod(shape)
    raise _damage(member, f"has a field {shown(str(field))}, which is not known")


def _claim_step(source: Source, array: _Array, context: CheckContext) -> None:
    if array.name not in ("step", "global_step") or array.shape not in ((), (1,)):
        return
    if array.dtype not in ("<i8", "<i4", "|u1"):
        return
    data = beginning(source, array.member, array.member.size)[array.begin :]
    step = int.from_bytes(data, "little", signed=True)
    if step >= 0:
        claim(context, f"{array.name} in {source.name}", step, "advisory")


def _read_everything(source: Source, arrays: list[_Array], context: CheckContext) -> None:
    contents = [array.content() for array in arrays]
    passes = []
    for array, content in zip(arrays, contents, strict=True):
        feed = content.feed if context.level >= 3 else None
        passes.append(MemberPass(array.member, feed))
    sound = prove(source, passes, context)
    for array, content, item in zip(arrays, contents, passes, strict=True):
        if context.level >= 3 and item in sound:
            content.crc = array.member.crc
            content.enter(context, source.name, array.dtype, array.shape)
            content.note(context, source.name)


NPZ = Format("npz", _detect, _examine, meant_by(".npz"), weights=(".npz",))

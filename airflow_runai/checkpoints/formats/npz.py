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
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.checking.tensor_content import TensorContent
from airflow_runai.checkpoints.containers.zip_archive import Member, read_directory
from airflow_runai.checkpoints.formats.heads import head, meant_by, members
from airflow_runai.checkpoints.formats.members import MemberPass, beginning, prove
from airflow_runai.checkpoints.formats.runs import NUMPY_KINDS
from airflow_runai.checkpoints.storage.listing import Listing

# numpy.lib.format refuses longer ones as well, unless pickles are allowed (NumPy 2.4).
_HEADER_LIMIT = 10_000
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


def _detect(tree: Listing, context: CheckContext) -> bool:
    names = members(tree, context) if head(tree, context).startswith(b"PK\3\4") else ()
    return bool(names) and all(name.endswith(".npy") for name in names)


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        arrays = [_array(source, member) for member in read_directory(source)]
        context.account.tensors += len(arrays)
        context.account.tensor_names[tree.label] = frozenset(array.name for array in arrays)
        for array in arrays:
            context.account.enter(
                tree.label, array.name, TensorEntry(array.dtype, array.shape, array.member.crc)
            )
            _claim_step(source, array, tree, context)
        if context.level >= 2:
            _read_everything(source, arrays, context, tree.label)


def _array(source: Source, member: Member) -> _Array:
    """Read the header of one member (NumPy's format 1.0 to 3.0)."""
    name = member.name.removesuffix(".npy")
    data = beginning(source, member, 12 + _HEADER_LIMIT)
    if name == member.name or data[:6] != b"\x93NUMPY" or data[6:7] not in (b"\1", b"\2", b"\3"):
        raise _damage(member, "is no array of NumPy, format 1 to 3")
    width = 2 if data[6] == 1 else 4
    begin = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if begin > len(data):
        limit = f"at most {_HEADER_LIMIT}, and all of the member, are read"
        raise _damage(member, f"has a header of {begin} bytes; {limit}")
    header = _parsed(data[8 + width : begin], member)
    descr, shape = header["descr"], header["shape"]
    if not _is_shape(shape):
        raise _damage(member, f"has shape {shown(str(shape))}; whole numbers from 0 are allowed")
    if prod(shape) * _width(descr, member) != member.size - begin:
        text = f"has {member.size - begin} bytes behind its header"
        raise _damage(member, f"{text}, its shape and dtype need others")
    text = descr if isinstance(descr, str) else "structured"
    # Numbers at no multiple of their size are not tested; NumPy does not write them.
    kind = NUMPY_KINDS.get(text[1:], "bytes") if begin % 8 == 0 else "bytes"
    order: ByteOrder = "big" if text.startswith(">") else "little"
    return _Array(name, text, shape, kind, order, begin, member)


def _damage(member: Member, what: str) -> FormatError:
    return FormatError("npz-layout", f"member {shown(member.name)} {what}")


def _parsed(data: bytes, member: Member) -> dict[str, Any]:
    """Read the header: a Python dictionary of plain values, which is parsed and never evaluated."""
    try:
        header = ast.literal_eval(data.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _damage(member, "has a header that is no dictionary of plain values") from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise _damage(member, "has a header with other keys than descr, fortran_order and shape")
    return header


def _is_shape(shape: object) -> TypeGuard[tuple[int, ...]]:
    numbers = shape if isinstance(shape, tuple) and len(shape) <= 64 else (None,)
    return all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)


def _width(descr: object, member: Member) -> int:
    """Size of one item in bytes, fields of a structured type included."""
    total, pending = 0, [(descr, 1)]
    while pending:
        item, times = pending.pop()
        if isinstance(item, list):
            pending += [_field(field, times, member) for field in item]
            continue
        match = _DTYPE.fullmatch(item) if isinstance(item, str) else None
        if match is None:
            raise _damage(member, f"has dtype {shown(str(item))}, which is not known")
        if match[1] == "O":
            text = f"member {shown(member.name)} holds Python objects: a pickle"
            raise FormatError("npz-object", f"{text}; save plain arrays instead")
        total += times * int(match[2] or 1) * (4 if match[1] == "U" else 1)
    return total


def _field(field: object, times: int, member: Member) -> tuple[object, int]:
    """Return dtype and number of one field: ``(name, dtype)`` or ``(name, dtype, shape)``."""
    match field:
        case (_, descr):
            return descr, times
        case (_, descr, shape) if _is_shape(shape):
            return descr, times * prod(shape)
    raise _damage(member, f"has a field {shown(str(field))}, which is not known")


def _claim_step(source: Source, array: _Array, tree: Listing, context: CheckContext) -> None:
    if array.name not in ("step", "global_step") or array.shape not in ((), (1,)):
        return
    if array.dtype not in ("<i8", "<i4", "|u1"):
        return
    data = beginning(source, array.member, array.member.size)[array.begin :]
    step = int.from_bytes(data, "little", signed=True)
    if step >= 0:
        claim = StepClaim(f"{array.name} in {tree.label}", step, "advisory")
        context.account.steps.append(claim)


def _read_everything(
    source: Source, arrays: list[_Array], context: CheckContext, label: str
) -> None:
    contents, passes = [], []
    for array in arrays:
        content = TensorContent(
            array.name, array.kind, array.begin, array.member.size, array.byteorder
        )
        contents.append(content)
        passes.append(MemberPass(array.member, content.feed if context.level >= 3 else None))
    sound = prove(source, passes, context, label)
    for array, content, item in zip(arrays, contents, passes, strict=True):
        if item in sound and context.level >= 3:
            content.crc = array.member.crc
            content.enter(context, label, array.dtype, array.shape)
            content.note(context, label)


NPZ = Format("npz", _detect, _examine, meant_by(".npz"), weights=(".npz",))

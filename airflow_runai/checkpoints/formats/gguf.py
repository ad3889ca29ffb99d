"""
GGUF, the files of llama.cpp: a header of keys, a table of tensors, then their bytes.

The format has no checksum. Its header is walked as strictly as llama.cpp does (gguf.cpp, 2026):
every tensor begins where the one before ends, rounded up to the alignment, and the last one ends
with the file. Only a manifest can prove that the bytes are those that were written. Versions 2
and 3 are read, little-endian and big-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader
from airflow_runai.checkpoints.formats.heads import head, meant_by
from airflow_runai.checkpoints.formats.runs import Run, enter_runs, read_runs
from airflow_runai.checkpoints.storage.listing import Listing

_MAGIC = b"GGUF"
_CODE = "gguf-header"
# llama.cpp refuses longer names too (GGML_MAX_NAME is 64; keys have at most 65535 bytes).
_NAME_LIMIT = 65_535
_STEP_LIMIT = 2_000_000
_TENSOR_LIMIT = 100_000
_DEPTH_LIMIT = 4
_STRING, _ARRAY = 8, 9
# Sizes of gguf_type; texts and arrays have their own.
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
# ggml_type: name, items in a block, bytes of a block (ggml.c, gguf 0.19.0 constants).
_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    28: ("F64", 1, 8),
    30: ("BF16", 1, 2),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
_KINDS = {"F32": "f32", "F16": "f16", "F64": "f64", "BF16": "bf16"}


@dataclass
class _Header:
    """A place in the header that moves forward; all that is read counts against a limit."""

    window: BoundedReader
    byteorder: ByteOrder = "little"
    at: int = 4
    steps: int = 0

    def number(self, width: int) -> int:
        self.steps += 1
        if self.steps > _STEP_LIMIT:
            raise FormatError(
                "too-large",
                f"a header of more than {_STEP_LIMIT} fields; the rest was not examined",
            )
        value = int.from_bytes(self.window.bytes(self.at, width), self.byteorder)
        self.at += width
        return value

    def text(self) -> str:
        size = self.skipped(self.number(8))
        if size > _NAME_LIMIT:
            raise self.window.damage(f"a name of {size} bytes; at most {_NAME_LIMIT} are allowed")
        return self.window.bytes(self.at - size, size).decode("utf-8", "backslashreplace")

    def skipped(self, size: int) -> int:
        if size > self.window.size - self.at:
            raise self.window.damage(
                f"{size} bytes at {self.at} reach beyond the end; it was cut or overwritten"
            )
        self.at += size
        return size


def _detect(tree: Listing, context: CheckContext) -> bool:
    return head(tree, context).startswith(_MAGIC)


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        runs = _runs(source)
        enter_runs(runs, context, tree.label)
        text = "GGUF holds no checksum and there is no manifest"
        context.note_unproven("gguf-no-checksum", tree.label, text)
        contents = read_runs(source, runs, context, tree.label) if context.level >= 2 else []
    for content in contents if context.level >= 3 else ():
        content.note(context, tree.label)


def _runs(source: Source) -> list[Run]:
    header = _Header(BoundedReader.on(source, _CODE))
    if header.window.bytes(0, 4) != _MAGIC:
        raise FormatError(_CODE, "does not begin with GGUF; it was overwritten")
    version = header.number(4)
    if version >= 1 << 16:
        header.byteorder, version = "big", int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise FormatError(_CODE, f"version {version}; 2 and 3 are read")
    count, keys = header.number(8), header.number(8)
    alignment = 32
    for _ in range(keys):
        name = header.text()
        value = _value(header, header.number(4), 0)
        alignment = value if name == "general.alignment" and value is not None else alignment
    if alignment <= 0 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise FormatError(_CODE, f"alignment {alignment}; a power of two is allowed")
    if count > _TENSOR_LIMIT:
        raise FormatError("too-large", f"{count} tensors; at most {_TENSOR_LIMIT} are examined")
    entries = [_entry(header) for _ in range(count)]
    begin = -(-header.at // alignment) * alignment
    return _placed(entries, begin, alignment, source.size, header.byteorder)


def _value(header: _Header, kind: int, depth: int) -> int | None:
    """Walk over one value; return it if it is a whole number."""
    if kind == _STRING:
        header.skipped(header.number(8))
    elif kind == _ARRAY and depth < _DEPTH_LIMIT:
        inner, count = header.number(4), header.number(8)
        if inner in _WIDTHS:
            header.skipped(_WIDTHS[inner] * count)
            return None
        for _ in range(count):
            _value(header, inner, depth + 1)
    elif kind in _WIDTHS:
        return header.number(_WIDTHS[kind])
    else:
        raise header.window.damage(
            f"a value of type {kind} at {header.at}, {depth} arrays deep; it was overwritten"
        )
    return None


@dataclass(frozen=True)
class _Entry:
    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int
    offset: int


def _entry(header: _Header) -> _Entry:
    name, rank = header.text(), header.number(4)
    if rank > 8:
        raise header.window.damage(
            f"tensor {shown(name)} has {rank} dimensions; at most 8 are believed"
        )
    shape = tuple(header.number(8) for _ in range(rank))
    kind, offset = header.number(4), header.number(8)
    dtype, items, width = _TYPES.get(kind, ("", 1, 0))
    if not dtype:
        raise FormatError(
            "not-examined",
            f"tensor {shown(name)} has type {kind}, which is not known; nothing was examined",
        )
    row = shape[0] if shape else 1
    if row % items:
        raise header.window.damage(f"tensor {shown(name)} has rows of {row} in blocks of {items}")
    return _Entry(name, shape, dtype, prod(shape) // items * width, offset)


def _placed(
    entries: list[_Entry], begin: int, alignment: int, size: int, byteorder: ByteOrder
) -> list[Run]:
    at, runs = 0, []
    for entry in sorted(entries, key=lambda entry: (entry.offset, entry.size)):
        expected = -(-at // alignment) * alignment
        if entry.offset != expected:
            raise FormatError(
                _CODE, f"tensor {shown(entry.name)} begins at {entry.offset}, not at {expected}"
            )
        at = entry.offset + entry.size
        run = Run(
            name=entry.name,
            dtype=entry.dtype,
            shape=entry.shape,
            kind=_KINDS.get(entry.dtype, "bytes"),
            begin=begin + entry.offset,
            end=begin + at,
            byteorder=byteorder,
        )
        runs.append(run)
    padded = -(-at // alignment) * alignment
    if entries and size not in (begin + at, begin + padded):
        raise FormatError(
            _CODE,
            f"the tensors end at byte {begin + at}, the file at {size}; it was cut or extended",
        )
    return runs


GGUF = Format("gguf", _detect, _examine, meant_by(".gguf"), weights=(".gguf",))

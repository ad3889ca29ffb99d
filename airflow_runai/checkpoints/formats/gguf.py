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
from airflow_runai.checkpoints.formats.runs import Run, by_place, enter_runs, read_runs
from airflow_runai.checkpoints.storage.listing import Listing

_MAGIC = b"GGUF"
_CODE = "gguf-header"
# llama.cpp refuses longer names too (GGML_MAX_NAME is 64; keys have at most 65535 bytes).
_NAME_LIMIT = 65_535
# The vocabulary of a tokenizer lies in the header: some hundred thousand texts.
_STEP_LIMIT = 2_000_000
_TENSOR_LIMIT = 100_000
_DEPTH_LIMIT = 4
# GGUF_DEFAULT_ALIGNMENT, which the key general.alignment replaces.
_ALIGNMENT = 32
_ALIGNMENT_LIMIT = 1 << 20
_STRING = 8
_ARRAY = 9
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
# Blocks hold their scale among the numbers; it is not tested.
_LAYOUTS = {
    "F32": "f32",
    "F16": "f16",
    "F64": "f64",
    "BF16": "bf16",
}


@dataclass
class _Header:
    """A place in the header that moves forward; all that is read counts against a limit."""

    window: BoundedReader
    byteorder: ByteOrder = "little"
    alignment: int = _ALIGNMENT
    at: int = len(_MAGIC)
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
        data = self.window.bytes(self.at - size, size)
        return data.decode("utf-8", "backslashreplace")

    def skipped(self, size: int) -> int:
        if size > self.window.size - self.at:
            raise self.window.damage(
                f"{size} bytes at {self.at} reach beyond the end; it was cut or overwritten"
            )
        self.at += size
        return size

    def aligned(self, at: int) -> int:
        """Round a place up to the next one at which a tensor may begin."""
        return -(-at // self.alignment) * self.alignment


def _detect(tree: Listing, context: CheckContext) -> bool:
    return head(tree, context).startswith(_MAGIC)


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        runs = _runs(source)
        enter_runs(runs, context, tree.label)
        context.note_unproven(
            "gguf-no-checksum", tree.label, "GGUF holds no checksum and there is no manifest"
        )
        contents = read_runs(source, runs, context)
    if context.level >= 3:
        for content in contents:
            content.note(context, tree.label)


def _runs(source: Source) -> list[Run]:
    header = _Header(BoundedReader.on(source, _CODE))
    if header.window.bytes(0, 4) != _MAGIC:
        raise FormatError(_CODE, "does not begin with GGUF; it was overwritten")
    _read_version(header)
    # Both counts stand in front of the keys that follow.
    count = header.number(8)
    keys = header.number(8)
    _read_keys(header, keys)
    if count > _TENSOR_LIMIT:
        raise FormatError("too-large", f"{count} tensors; at most {_TENSOR_LIMIT} are examined")
    runs = [_run(header) for _ in range(count)]
    return _placed(runs, header, source.size)


def _read_version(header: _Header) -> None:
    version = header.number(4)
    # No field tells the order of bytes: a small version with its bytes turned around does.
    if version >= 1 << 16:
        header.byteorder = "big"
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise FormatError(_CODE, f"version {version}; 2 and 3 are read")


def _read_keys(header: _Header, keys: int) -> None:
    for _ in range(keys):
        name = header.text()
        value = _value(header, header.number(4), 0)
        if name == "general.alignment" and value is not None:
            header.alignment = value
    alignment = header.alignment
    if not 0 < alignment <= _ALIGNMENT_LIMIT or alignment & (alignment - 1):
        raise FormatError(_CODE, f"alignment {alignment}; a power of two is allowed")


def _value(header: _Header, kind: int, depth: int) -> int | None:
    """Walk over one value; return it if it is a whole number."""
    if kind == _STRING:
        header.skipped(header.number(8))
    elif kind == _ARRAY and depth < _DEPTH_LIMIT:
        _skip_array(header, depth)
    elif kind in _WIDTHS:
        return header.number(_WIDTHS[kind])
    else:
        raise header.window.damage(
            f"a value of type {kind} at {header.at}, {depth} arrays deep; it was overwritten"
        )
    return None


def _skip_array(header: _Header, depth: int) -> None:
    kind = header.number(4)
    count = header.number(8)
    # Numbers are skipped at once: a count may say billions.
    if kind in _WIDTHS:
        header.skipped(_WIDTHS[kind] * count)
        return
    for _ in range(count):
        _value(header, kind, depth + 1)


def _run(header: _Header) -> Run:
    """Read one entry of the table; its place is counted from the end of the header."""
    name = header.text()
    label = f"tensor {shown(name)}"
    rank = header.number(4)
    # GGML_MAX_DIMS is 4.
    if rank > 8:
        raise header.window.damage(f"{label} has {rank} dimensions; at most 8 are believed")
    shape = tuple(header.number(8) for _ in range(rank))
    kind = header.number(4)
    begin = header.number(8)
    if kind not in _TYPES:
        raise FormatError(
            "not-examined",
            f"{label} has type {kind}, which is not known; nothing was examined",
        )
    dtype, items, width = _TYPES[kind]
    # The first dimension is the one whose numbers lie side by side, in whole blocks.
    row = shape[0] if shape else 1
    if row % items:
        raise header.window.damage(f"{label} has rows of {row} in blocks of {items}")
    end = begin + prod(shape) // items * width
    return Run(name, dtype, shape, _LAYOUTS.get(dtype, "bytes"), begin, end, header.byteorder)


def _placed(runs: list[Run], header: _Header, size: int) -> list[Run]:
    """Return the runs as they lie in the file, one behind the other."""
    runs = sorted(runs, key=by_place)
    at = 0
    for run in runs:
        expected = header.aligned(at)
        if run.begin != expected:
            raise FormatError(
                _CODE, f"tensor {shown(run.name)} begins at {run.begin}, not at {expected}"
            )
        at = run.end
    begin = header.aligned(header.at)
    # Writers differ in whether they pad the last tensor.
    if runs and size not in (begin + at, begin + header.aligned(at)):
        raise FormatError(
            _CODE,
            f"the tensors end at byte {begin + at}, the file at {size}; it was cut or extended",
        )
    return [run.moved(begin) for run in runs]


GGUF = Format("gguf", _detect, _examine, meant_by(".gguf"), weights=(".gguf",))

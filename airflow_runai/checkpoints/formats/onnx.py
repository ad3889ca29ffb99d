"""
ONNX: a model as one protobuf message, its weights inside or in files beside it.

The format has no checksum. Checked are the ends of all messages, that every tensor has as many
bytes as its shape needs, and that external data lies in a plain file beside the model and is long
enough. Only a manifest can prove that the bytes are those that were written. Constants of nodes may
be infinite, weights may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import PurePosixPath
from typing import Any

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source, unreadable
from airflow_runai.checkpoints.checking.tensor_content import TensorContent
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader
from airflow_runai.checkpoints.containers.onnx_messages import (
    ModelTensor,
    looks_like_model,
    model_tensors,
)
from airflow_runai.checkpoints.formats.heads import head, meant_by
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.runs import Run, by_place, enter_runs, in_order, read_runs
from airflow_runai.checkpoints.storage.listing import FileEntry, Listing, stat_entry

_CODE = "onnx-structure"
# TensorProto.DataType: name, bits of an item (0: not of one size).
_TYPES: dict[int, tuple[str, int]] = {
    1: ("float", 32),
    10: ("float16", 16),
    11: ("double", 64),
    16: ("bfloat16", 16),
    14: ("complex64", 64),
    15: ("complex128", 128),
    8: ("string", 0),
    17: ("float8e4m3fn", 8),
    19: ("float8e5m2", 8),
    18: ("float8e4m3fnuz", 8),
    20: ("float8e5m2fnuz", 8),
    24: ("float8e8m0", 8),
    2: ("uint8", 8),
    3: ("int8", 8),
    9: ("bool", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    12: ("uint32", 32),
    7: ("int64", 64),
    13: ("uint64", 64),
    21: ("uint4", 4),
    22: ("int4", 4),
    23: ("float4e2m1", 4),
    25: ("uint2", 2),
    26: ("int2", 2),
}
# Floats of other layouts cannot be infinite, and are not tested.
_LAYOUTS = {
    "float": "f32",
    "float16": "f16",
    "double": "f64",
    "bfloat16": "bf16",
    "complex64": "f32",
    "complex128": "f64",
    "float8e4m3fn": "e4m3fn",
    "float8e5m2": "e5m2",
}
# Field 1 of ModelProto, a number.
_IR_VERSION_TAG = 0x08
_IR_VERSION_LIMIT = 32


def _detect(tree: Listing, context: CheckContext) -> bool:
    if not tree.single:
        return bool(_models(tree))
    first = head(tree, context)
    # ir_version comes first, a small number.
    if len(first) < 16 or first[0] != _IR_VERSION_TAG or not 1 <= first[1] <= _IR_VERSION_LIMIT:
        return False
    with Source(tree, context) as source:
        return looks_like_model(BoundedReader.on(source, _CODE))


def _models(tree: Listing) -> list[str]:
    return sorted(name for name in tree.files if name.endswith(".onnx"))


def _examine(tree: Listing, context: CheckContext) -> None:
    """Check a model, or a directory of models whose data files are no checkpoints themselves."""
    if context.level < 1:
        return
    if tree.single:
        _examine_model(tree, context)
        return
    known: set[str] = set()
    for name in _models(tree):
        known.add(name)
        with context.noting(name):
            known |= _examine_model(tree.narrowed_to(name), context)
    examine_parts(tree, context, known)


def _examine_model(part: Listing, context: CheckContext) -> set[str]:
    """Check one file and the data files that it names; return the names of those."""
    with Source(part, context) as source:
        tensors = list(model_tensors(BoundedReader.on(source, _CODE)))
        runs = [_run(tensor) for tensor in tensors if _lies_inside(tensor)]
        runs = in_order(runs, source.size, _CODE)
        outside = _outside(part, tensors)
        context.note_unproven(
            "onnx-no-checksum", part.label, "ONNX holds no checksum and there is no manifest"
        )
        enter_runs(runs, context, part.label)
        contents = read_runs(source, runs, context)
    # The names of data files begin at the model's directory.
    folder = part.label.removesuffix(part.root.name)
    files = {folder + location: data for location, data in outside.items()}
    for name, data in files.items():
        contents += _read_data(data, context, name)
    if context.level >= 3:
        for content in contents:
            content.note(context, part.label)
    return set(files)


def _read_data(data: _DataFile, context: CheckContext, name: str) -> list[TensorContent]:
    runs = _without_overlap(data.runs)
    enter_runs(runs, context, name)
    if context.level < 2:
        return []
    part = Listing(data.entry.path, name, {name: data.entry}, single=True)
    with Source(part, context) as source:
        return read_runs(source, runs, context)


def _lies_inside(tensor: ModelTensor) -> bool:
    """
    Return whether the bytes of a tensor lie in the model's file as they are in memory.

    :raises FormatError: if it has none, or too few.
    """
    label = f"tensor {shown(tensor.name)}"
    if tensor.dtype not in _TYPES:
        raise FormatError(_CODE, f"{label} has type {tensor.dtype}, which is not known")
    if tensor.outside is not None:
        return False
    if not (tensor.raw or tensor.typed) and 0 not in tensor.shape:
        raise FormatError(
            _CODE, f"{label} has a shape and no data; the model was saved without weights"
        )
    size, needed = tensor.end - tensor.begin, _size(tensor)
    if size == 0:
        return False
    # Numbers in typed fields are as wide as the field; only floats are as they are in memory.
    if tensor.raw and needed != size:
        name, _ = _TYPES[tensor.dtype]
        raise FormatError(
            _CODE, f"{label} has {size} bytes, its shape and type {name} need {needed}"
        )
    return tensor.raw or needed == size


def _size(tensor: ModelTensor) -> int:
    """Number of bytes that a tensor needs; the last byte of narrow types may be half empty."""
    _, bits = _TYPES[tensor.dtype]
    return (prod(tensor.shape) * bits + 7) // 8


def _run(tensor: ModelTensor) -> Run:
    name, _ = _TYPES[tensor.dtype]
    return Run(
        name=tensor.name,
        dtype=name,
        shape=tuple(tensor.shape),
        # A constant may be infinite, and so may an initializer of one number (of a maximum).
        kind=_LAYOUTS.get(name, "bytes") if tensor.is_weight else "bytes",
        begin=tensor.begin,
        end=tensor.end,
        is_state=prod(tensor.shape) > 1,
    )


@dataclass(frozen=True)
class _DataFile:
    """A file beside the model, and the tensors in it."""

    entry: FileEntry
    runs: list[Run] = field(default_factory=list)


def _outside(tree: Listing, tensors: list[ModelTensor]) -> dict[str, _DataFile]:
    """Return every data file by its name."""
    files: dict[str, _DataFile] = {}
    for tensor in tensors:
        if tensor.outside is not None:
            location = _location(tensor, tensor.outside)
            if location not in files:
                files[location] = _DataFile(_data_file(tree, location))
            data = files[location]
            begin, end = _place(tensor, tensor.outside, data.entry.size)
            data.runs.append(replace(_run(tensor), begin=begin, end=end))
    return files


def _without_overlap(runs: list[Run]) -> list[Run]:
    """Sort by place; of tensors that share bytes keep the first."""
    kept: list[Run] = []
    for run in sorted(runs, key=by_place):
        if not kept or run.begin >= kept[-1].end:
            kept.append(run)
    return kept


def _location(tensor: ModelTensor, outside: Mapping[str, str]) -> str:
    location = outside.get("location", "")
    path = PurePosixPath(location)
    place = f"tensor {shown(tensor.name)} lies in {shown(location)}"
    if not location or str(path) != location or not set(location).isdisjoint("\0\\:"):
        raise FormatError("onnx-path", f"{place}; plain file names are allowed")
    # A model must not make its reader open any file of the machine.
    if path.is_absolute() or ".." in path.parts:
        raise FormatError("onnx-path", f"{place}, outside the model's directory")
    return location


def _data_file(tree: Listing, location: str) -> FileEntry:
    root: Any = tree.root
    try:
        entry = stat_entry(root.parent.joinpath(*location.split("/")))
    except FileNotFoundError:
        raise FormatError(
            "onnx-external", f"{shown(location)} is missing; copy it beside the model"
        ) from None
    except Exception as error:
        raise FormatError("unreadable", f"{shown(location)}: {unreadable(error)}") from error
    if entry.kind != "file":
        raise FormatError(
            "onnx-external", f"{shown(location)} is no regular file; it was not opened"
        )
    return entry


def _place(tensor: ModelTensor, outside: Mapping[str, str], size: int) -> tuple[int, int]:
    """Return where the bytes of a tensor begin and end in a data file."""
    needed = _size(tensor)
    offset = _number(outside.get("offset", "0"))
    length = _number(outside.get("length", ""))
    # The length may be left out.
    if length < 0:
        length = needed
    if offset < 0 or length != needed or offset + length > size:
        raise FormatError(
            "onnx-external",
            f"tensor {shown(tensor.name)} in {shown(outside['location'])}: {length} bytes at "
            f"{offset} of {size}; its shape needs {needed}; the file was cut",
        )
    return offset, offset + length


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


ONNX = Format("onnx", _detect, _examine, meant_by(".onnx"), weights=(".onnx",))

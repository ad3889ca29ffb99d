"""
ONNX: a model as one protobuf message, its weights inside or in files beside it.

The format has no checksum. Checked are the ends of all messages, that every tensor has as many
bytes as its shape needs, and that external data lies in a plain file beside the model and is long
enough. Only a manifest can prove that the bytes are those that were written. Constants of nodes may
be infinite, weights may not.
"""

from __future__ import annotations

from math import prod
from pathlib import PurePosixPath
from typing import Any

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source, unreadable
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader
from airflow_runai.checkpoints.containers.onnx_messages import (
    ModelTensor,
    looks_like_model,
    model_tensors,
)
from airflow_runai.checkpoints.formats.heads import head, meant_by
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.runs import Run, enter_runs, in_order, read_runs
from airflow_runai.checkpoints.storage.listing import FileEntry, Listing, stat_entry

_CODE = "onnx-structure"
# TensorProto.DataType: name, float layout, bits of an item (0: not of one size).
_TYPES: dict[int, tuple[str, str, int]] = {
    1: ("float", "f32", 32),
    10: ("float16", "f16", 16),
    11: ("double", "f64", 64),
    16: ("bfloat16", "bf16", 16),
    14: ("complex64", "f32", 64),
    15: ("complex128", "f64", 128),
    8: ("string", "bytes", 0),
    17: ("float8e4m3fn", "e4m3fn", 8),
    19: ("float8e5m2", "e5m2", 8),
    18: ("float8e4m3fnuz", "bytes", 8),
    20: ("float8e5m2fnuz", "bytes", 8),
    24: ("float8e8m0", "bytes", 8),
    2: ("uint8", "bytes", 8),
    3: ("int8", "bytes", 8),
    9: ("bool", "bytes", 8),
    4: ("uint16", "bytes", 16),
    5: ("int16", "bytes", 16),
    6: ("int32", "bytes", 32),
    12: ("uint32", "bytes", 32),
    7: ("int64", "bytes", 64),
    13: ("uint64", "bytes", 64),
    21: ("uint4", "bytes", 4),
    22: ("int4", "bytes", 4),
    23: ("float4e2m1", "bytes", 4),
    25: ("uint2", "bytes", 2),
    26: ("int2", "bytes", 2),
}


def _detect(tree: Listing, context: CheckContext) -> bool:
    if not tree.single:
        return any(True for _ in _models(tree))
    first = head(tree, context)
    # ir_version comes first, a small number.
    if len(first) < 16 or first[0] != 0x08 or not 1 <= first[1] <= 32:
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
        inside = in_order(
            [_run(tensor) for tensor in tensors if _lies_inside(tensor)], source.size, _CODE
        )
        outside = _outside(part, tensors)
        text = "ONNX holds no checksum and there is no manifest"
        context.note_unproven("onnx-no-checksum", part.label, text)
        enter_runs(inside, context, part.label)
        contents = read_runs(source, inside, context) if context.level >= 2 else []
    folder = part.label.removesuffix(part.root.name)
    for name, (entry, runs) in outside.items():
        data = Listing(entry.path, folder + name, {folder + name: entry}, single=True)
        enter_runs(runs, context, data.label)
        if context.level >= 2:
            with Source(data, context) as source:
                contents += read_runs(source, runs, context)
    for content in contents if context.level >= 3 else ():
        content.note(context, part.label)
    return {folder + name for name in outside}


def _lies_inside(tensor: ModelTensor) -> bool:
    """
    Return whether the bytes of a tensor lie in the model's file as they are in memory.

    :raises FormatError: if it has none, or too few.
    """
    name, _, bits = _TYPES.get(tensor.dtype, ("", "", -1))
    if bits < 0:
        raise FormatError(
            _CODE, f"tensor {shown(tensor.name)} has type {tensor.dtype}, which is not known"
        )
    if tensor.outside is not None:
        return False
    if not (tensor.raw or tensor.typed) and 0 not in tensor.shape:
        text = f"tensor {shown(tensor.name)} has a shape and no data"
        raise FormatError(_CODE, f"{text}; the model was saved without weights")
    if tensor.end == tensor.begin:
        return False
    needed = (prod(tensor.shape) * bits + 7) // 8
    size = tensor.end - tensor.begin
    # Numbers in typed fields are as wide as the field; only floats are as they are in memory.
    if tensor.raw and needed != size:
        text = f"tensor {shown(tensor.name)} has {size} bytes"
        raise FormatError(_CODE, f"{text}, its shape and type {name} need {needed}")
    return tensor.raw or needed == size


def _run(tensor: ModelTensor, begin: int | None = None, end: int | None = None) -> Run:
    name, kind, _ = _TYPES[tensor.dtype]
    shape = tuple(tensor.shape)
    return Run(
        name=tensor.name,
        dtype=name,
        shape=shape,
        # A constant may be infinite, and so may an initializer of one number (of a maximum).
        kind=kind if tensor.is_weight else "bytes",
        begin=tensor.begin if begin is None else begin,
        end=tensor.end if end is None else end,
        is_state=prod(shape) > 1,
    )


def _outside(tree: Listing, tensors: list[ModelTensor]) -> dict[str, tuple[FileEntry, list[Run]]]:
    """Return every data file by its name: its entry, and the runs in it."""
    files: dict[str, tuple[FileEntry, list[Run]]] = {}
    for tensor in tensors:
        if tensor.outside is not None:
            location = _location(tensor)
            if location not in files:
                files[location] = (_data_file(tree, location), [])
            entry, runs = files[location]
            runs.append(_outside_run(tensor, location, entry.size))
    return {location: (entry, _without_overlap(runs)) for location, (entry, runs) in files.items()}


def _without_overlap(runs: list[Run]) -> list[Run]:
    """Sort by place; of tensors that share bytes keep the first."""
    kept: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.begin, run.end)):
        if not kept or run.begin >= kept[-1].end:
            kept.append(run)
    return kept


def _location(tensor: ModelTensor) -> str:
    location = (tensor.outside or {}).get("location", "")
    path, text = PurePosixPath(location), f"tensor {shown(tensor.name)} lies in {shown(location)}"
    if not location or str(path) != location or not set(location).isdisjoint("\0\\:"):
        raise FormatError("onnx-path", f"{text}; plain file names are allowed")
    if path.is_absolute() or ".." in path.parts:
        raise FormatError("onnx-path", f"{text}, outside the model's directory")
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


def _outside_run(tensor: ModelTensor, location: str, size: int) -> Run:
    place = tensor.outside or {}
    offset, length = _number(place.get("offset", "0")), _number(place.get("length", ""))
    needed = (prod(tensor.shape) * _TYPES[tensor.dtype][2] + 7) // 8
    length = needed if length < 0 else length
    if offset < 0 or length != needed or offset + length > size:
        text = f"tensor {shown(tensor.name)} in {shown(location)}"
        detail = f"{length} bytes at {offset} of {size}; its shape needs {needed}"
        raise FormatError("onnx-external", f"{text}: {detail}; the file was cut")
    return _run(tensor, offset, offset + length)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


ONNX = Format("onnx", _detect, _examine, meant_by(".onnx"), weights=(".onnx",))

"""
Files of the safetensors library: a length, a JSON header, then the numbers without gaps.

The format has no checksum. Its structure is checked as strictly as the library does (safetensors
0.8.0), but whether the bytes are those that were written, only a manifest can prove; without one
the verdict is "unverifiable".
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from math import prod
from typing import Any

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.float_layouts import any_set
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.tensor_content import TensorContent, may_be_zero
from airflow_runai.checkpoints.containers.json_documents import SIZE_LIMIT, parse_object
from airflow_runai.checkpoints.formats.claims import claim
from airflow_runai.checkpoints.formats.heads import head, meant_by
from airflow_runai.checkpoints.formats.runs import Run, by_place, enter_runs, is_size, read_runs
from airflow_runai.checkpoints.storage.listing import Listing

# The length of the header, 8 bytes, and "{}".
_MIN_SIZE = 10
# The library refuses longer headers, too.
_FORMAT_LIMIT = 100_000_000
# A page: what a file system did not write before a power loss is read as zeros.
_TAIL = 4096
_EDGE = 16
# Bits, because some types are narrower than a byte.
_BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "C64": 64,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
    "I64": 64,
    "U64": 64,
    "I32": 32,
    "U32": 32,
    "I16": 16,
    "U16": 16,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
}
# Floats of other layouts cannot be infinite, and are not tested.
_LAYOUTS = {
    "F64": "f64",
    "F32": "f32",
    "F16": "f16",
    "BF16": "bf16",
    "C64": "f32",
    "F8_E5M2": "e5m2",
    "F8_E4M3": "e4m3fn",
}


def _detect(tree: Listing, context: CheckContext) -> bool:
    # A length may look like another format's first bytes: 640 is the mark of a pickle.
    first = head(tree, context)
    if first[8:9] != b"{":
        return False
    length = int.from_bytes(first[:8], "little")
    return 2 <= length <= tree.files[tree.label].size - 8


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        header = _read_header(source)
        runs = _runs(header, source)
        enter_runs(runs, context, tree.label)
        _claim_step(header, context, tree.label)
        context.note_unproven(
            "safetensors-no-checksum",
            tree.label,
            "safetensors holds no checksum and there is no manifest",
        )
        if context.level >= 2:
            _read_everything(source, context, runs)


def runs_of(source: Source) -> list[Run]:
    """
    Return the tensors in the order of their bytes.

    :raises FormatError: ``safetensors-header`` or ``too-large``.
    """
    return _runs(_read_header(source), source)


def _header_size(source: Source) -> int:
    return int.from_bytes(source.at(0, 8), "little")


def _read_header(source: Source) -> dict[str, Any]:
    if source.size < _MIN_SIZE:
        raise _damaged(f"{source.size} bytes are too few for safetensors; it was cut")
    length = _header_size(source)
    if length > min(_FORMAT_LIMIT, source.size - 8):
        raise _damaged(
            f"header of {length} bytes in a file of {source.size}; it was cut or overwritten"
        )
    if length > SIZE_LIMIT:
        raise FormatError("too-large", f"header of {length} bytes; at most {SIZE_LIMIT} are read")
    data = source.at(8, length)
    # The library refuses white space in front; json would not.
    if not data.startswith(b"{"):
        raise _damaged("the header does not begin with '{'; it was overwritten")
    return parse_object(data, "safetensors-header", "header")


def _runs(header: Mapping[str, object], source: Source) -> list[Run]:
    """Read the tensors in the order of their bytes, which must fill the file without gaps."""
    tensors = [_tensor(name, value) for name, value in header.items() if name != "__metadata__"]
    tensors.sort(key=by_place)
    at = 0
    for tensor in tensors:
        if tensor.begin != at:
            raise _damaged(f"tensor {shown(tensor.name)} begins at {tensor.begin}, not at {at}")
        at = tensor.end
    start = 8 + _header_size(source)
    data_size = source.size - start
    if at != data_size:
        raise _damaged(
            f"the tensors need {at} bytes, the file holds {data_size}; it was cut or extended"
        )
    return [tensor.moved(start) for tensor in tensors]


def _damaged(text: str) -> FormatError:
    return FormatError("safetensors-header", text)


def _tensor(name: str, value: Any) -> Run:
    """Read one entry; its place is counted from the end of the header."""
    label = f"tensor {shown(name)}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"{label} has other fields than dtype, shape and data_offsets")
    dtype = value["dtype"]
    shape = value["shape"]
    offsets = value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise _damaged(f"{label} has dtype {shown(dtype)}; {', '.join(_BITS)} are known")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _damaged(f"{label} has a shape or offsets that are not numbers from 0")
    begin, end = offsets
    # The product of many huge dimensions would take its time.
    if len(shape) > 64 or prod(shape) * _BITS[dtype] != 8 * (end - begin):
        raise _damaged(f"{label} has {end - begin} bytes, its shape and dtype need others")
    return Run(name, dtype, tuple(shape), _LAYOUTS.get(dtype, "bytes"), begin, end)


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(map(is_size, values))


def _claim_step(header: Mapping[str, Any], context: CheckContext, label: str) -> None:
    metadata = header.get("__metadata__", {})
    values = metadata.values() if isinstance(metadata, dict) else [None]
    if not all(isinstance(value, str) for value in values):
        raise _damaged("__metadata__ is not a mapping of text to text")
    step = metadata.get("step") or metadata.get("global_step") or ""
    # int() refuses some digits of Unicode, and more than 4300 of any.
    if step.isascii() and step.isdigit() and len(step) <= 18:
        claim(context, f"__metadata__ of {label}", int(step), "advisory")


def _read_everything(source: Source, context: CheckContext, runs: list[Run]) -> None:
    contents = read_runs(source, runs, context)
    if context.level < 3:
        return
    for content in contents:
        content.note(context, source.name)
    if runs and source.name not in context.account.manifest_verified:
        _note_zero_tail(source, context, runs, contents)


def _note_zero_tail(
    source: Source, context: CheckContext, runs: list[Run], contents: list[TensorContent]
) -> None:
    """Note zeros up to the end, as after a power loss."""
    if source.size < _TAIL or not _ends_in_zeros(source, source.size, _TAIL):
        return
    text = _zero_rest(source, runs, contents)
    if text:
        context.note(
            "zero-rest",
            source.name,
            f"{text}; the file was not written to its end before the power was lost",
        )
    elif runs[-1].end - runs[-1].begin >= 2 * _TAIL:
        context.note(
            "zero-tail",
            source.name,
            f"the last {_TAIL} bytes are zero, as after a power loss; "
            f"look at {shown(runs[-1].name)}",
        )


def _zero_rest(source: Source, runs: list[Run], contents: list[TensorContent]) -> str:
    """
    Describe zeros that are no coincidence; empty if they may be one.

    They begin inside a tensor and cover whole tensors behind it: no training ends a tensor in zeros
    and makes all that follow zero.
    """
    pairs = zip(runs, contents, strict=True)
    filled = [(run, content) for run, content in pairs if run.end > run.begin]
    behind = takewhile(lambda pair: pair[1].all_zero, reversed(filled))
    zero = [run for run, _ in behind]
    if len(zero) == len(filled) or all(may_be_zero(run.name) for run in zero):
        return ""
    begun, _ = filled[-len(zero) - 1]
    if not _ends_in_zeros(source, begun.end, min(_EDGE, begun.end - begun.begin)):
        return ""
    names = [shown(run.name) for run in reversed(zero)]
    return (
        f"zeros from inside {shown(begun.name)} to the end, "
        f"over {len(zero)} whole tensors ({', '.join(names[:3])})"
    )


def _ends_in_zeros(source: Source, end: int, size: int) -> bool:
    return not any_set(memoryview(source.at(end - size, size)))


SAFETENSORS = Format(
    "safetensors", _detect, _examine, meant_by(".safetensors"), weights=(".safetensors",)
)

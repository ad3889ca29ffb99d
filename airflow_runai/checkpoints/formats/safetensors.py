"""
Files of the safetensors library: a length, a JSON header, then the numbers without gaps.

The format has no checksum. Its structure is checked as strictly as the library does (safetensors
0.8.0), but whether the bytes are those that were written, only a manifest can prove; without one
the verdict is "unverifiable".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from math import prod
from typing import Any

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.float_layouts import any_set
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.reader import Source, Span
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.checking.tensor_content import TensorContent, may_be_zero
from airflow_runai.checkpoints.containers.json_documents import SIZE_LIMIT, parse_object
from airflow_runai.checkpoints.formats.heads import head, meant_by
from airflow_runai.checkpoints.storage.listing import Listing

_FORMAT_LIMIT = 100_000_000
_TAIL, _EDGE = 4096, 16
_BITS: dict[str, tuple[str, int]] = {
    "F64": ("f64", 64),
    "F32": ("f32", 32),
    "F16": ("f16", 16),
    "BF16": ("bf16", 16),
    "C64": ("f32", 64),
    "F8_E5M2": ("e5m2", 8),
    "F8_E4M3": ("e4m3fn", 8),
    "F8_E8M0": ("bytes", 8),
    "F8_E5M2FNUZ": ("bytes", 8),
    "F8_E4M3FNUZ": ("bytes", 8),
    "F6_E2M3": ("bytes", 6),
    "F6_E3M2": ("bytes", 6),
    "F4": ("bytes", 4),
    "I64": ("bytes", 64),
    "U64": ("bytes", 64),
    "I32": ("bytes", 32),
    "U32": ("bytes", 32),
    "I16": ("bytes", 16),
    "U16": ("bytes", 16),
    "I8": ("bytes", 8),
    "U8": ("bytes", 8),
    "BOOL": ("bytes", 8),
}


@dataclass(frozen=True)
class _Tensor:
    name: str
    kind: str
    begin: int
    end: int
    dtype: str
    shape: tuple[int, ...]


def _detect(tree: Listing, context: CheckContext) -> bool:
    # A length may look like another format's first bytes: 640 is the mark of a pickle.
    first = head(tree, context)
    length = int.from_bytes(first[:8], "little")
    return first[8:9] == b"{" and 2 <= length <= tree.files[tree.label].size - 8


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        header = _read_header(source)
        start = source.size - _data_size(source)
        tensors = _tensors(header, source.size - start)
        context.account.tensor_names[tree.label] = frozenset(tensor.name for tensor in tensors)
        context.account.tensors += len(tensors)
        for tensor in tensors:
            context.account.enter(tree.label, tensor.name, TensorEntry(tensor.dtype, tensor.shape))
        _claim_step(header, tree, context)
        text = "safetensors holds no checksum and there is no manifest"
        context.note_unproven("safetensors-no-checksum", tree.label, text)
        if context.level >= 2:
            _read_everything(source, context, tree.label, tensors, start)


def tensors_of(source: Source) -> tuple[int, list[_Tensor]]:
    """
    Return where the numbers begin, and the tensors in the order of their bytes, counted from there.

    :raises FormatError: ``safetensors-header`` or ``too-large``.
    """
    size = _data_size(source) if source.size >= 10 else 0
    return source.size - size, _tensors(_read_header(source), size)


def _data_size(source: Source) -> int:
    return source.size - 8 - int.from_bytes(source.at(0, 8), "little")


def _read_header(source: Source) -> dict[str, Any]:
    if source.size < 10:
        raise _damaged(f"{source.size} bytes are too few for safetensors; it was cut")
    length = int.from_bytes(source.at(0, 8), "little")
    if length > min(_FORMAT_LIMIT, source.size - 8):
        text = f"header of {length} bytes in a file of {source.size}"
        raise _damaged(f"{text}; it was cut or overwritten")
    if length > SIZE_LIMIT:
        raise FormatError("too-large", f"header of {length} bytes; at most {SIZE_LIMIT} are read")
    data = source.at(8, length)
    if not data.startswith(b"{"):
        raise _damaged("the header does not begin with '{'; it was overwritten")
    return parse_object(data, "safetensors-header", "header")


def _tensors(header: dict[str, Any], data_size: int) -> list[_Tensor]:
    """Read the tensors in the order of their bytes, which must fill the file without gaps."""
    tensors = [_tensor(name, value) for name, value in header.items() if name != "__metadata__"]
    tensors.sort(key=lambda tensor: (tensor.begin, tensor.end))
    at = 0
    for tensor in tensors:
        if tensor.begin != at:
            raise _damaged(f"tensor {shown(tensor.name)} begins at {tensor.begin}, not at {at}")
        at = tensor.end
    if at != data_size:
        text = f"the tensors need {at} bytes, the file holds {data_size}"
        raise _damaged(f"{text}; it was cut or extended")
    return tensors


def _damaged(text: str) -> FormatError:
    return FormatError("safetensors-header", text)


def _tensor(name: str, value: Any) -> _Tensor:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"tensor {shown(name)} has other fields than dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    kind, bits = _BITS.get(dtype, ("", 0)) if isinstance(dtype, str) else ("", 0)
    if not bits:
        known = ", ".join(_BITS)
        raise _damaged(f"tensor {shown(name)} has dtype {shown(dtype)}; {known} are known")
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise _damaged(f"tensor {shown(name)} has a shape or offsets that are not numbers from 0")
    begin, end = offsets
    if len(shape) > 64 or prod(shape) * bits != 8 * (end - begin):
        text = f"tensor {shown(name)} has {end - begin} bytes"
        raise _damaged(f"{text}, its shape and dtype need others")
    return _Tensor(name, kind, begin, end, dtype, tuple(shape))


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 1 << 63 for value in values
    )


def _claim_step(header: dict[str, Any], tree: Listing, context: CheckContext) -> None:
    metadata = header.get("__metadata__", {})
    values = metadata.values() if isinstance(metadata, dict) else [None]
    if not all(isinstance(value, str) for value in values):
        raise _damaged("__metadata__ is not a mapping of text to text")
    step = metadata.get("step") or metadata.get("global_step") or ""
    if step.isascii() and step.isdigit() and len(step) <= 18:
        claim = StepClaim(f"__metadata__ of {tree.label}", int(step), "advisory")
        context.account.steps.append(claim)


def _read_everything(
    source: Source, context: CheckContext, label: str, tensors: list[_Tensor], start: int
) -> None:
    contents, spans = [], []
    for tensor in tensors:
        content = TensorContent(tensor.name, tensor.kind, 0, tensor.end - tensor.begin)
        feed = content.feed if context.level >= 3 else None
        contents.append(content)
        spans.append(Span(start + tensor.begin, start + tensor.end, feed, summed=True))
    source.scan(spans)
    for content, span, tensor in zip(contents, spans, tensors, strict=True):
        content.crc = span.crc
        content.enter(context, label, tensor.dtype, tensor.shape)
    if context.level < 3:
        return
    for content in contents:
        content.note(context, label)
    if source.name not in context.account.manifest_verified:
        _note_zero_tail(source, context, label, list(zip(tensors, contents, strict=True)))


def _note_zero_tail(
    source: Source,
    context: CheckContext,
    label: str,
    pairs: list[tuple[_Tensor, TensorContent]],
) -> None:
    """
    Note zeros up to the end, as after a power loss.

    They are no coincidence if they begin inside a tensor and cover whole tensors behind it: no
    training ends a tensor in zeros and makes all that follow zero.
    """
    if not pairs or source.size < _TAIL:
        return
    if any_set(memoryview(source.at(source.size - _TAIL, _TAIL))):
        return
    filled = [pair for pair in pairs if pair[0].end > pair[0].begin]
    zero = list(takewhile(lambda pair: pair[1].all_zero, reversed(filled)))
    begun = filled[-len(zero) - 1][0] if len(zero) < len(filled) else None
    lost = any(not may_be_zero(tensor.name) for tensor, _ in zero)
    if begun is not None and lost and _ends_in_zeros(source, begun):
        names = ", ".join(shown(tensor.name) for tensor, _ in zero[::-1][:3])
        text = f"zeros from inside {shown(begun.name)} to the end"
        covered = f"over {len(zero)} whole tensors ({names})"
        reason = "the file was not written to its end before the power was lost"
        context.note("zero-rest", label, f"{text}, {covered}; {reason}")
        return
    last = pairs[-1][0]
    if last.end - last.begin >= 2 * _TAIL:
        text = f"the last {_TAIL} bytes are zero, as after a power loss"
        context.note("zero-tail", label, f"{text}; look at {shown(last.name)}")


def _ends_in_zeros(source: Source, tensor: _Tensor) -> bool:
    size = min(_EDGE, tensor.end - tensor.begin)
    at = source.size - _data_size(source) + tensor.end - size
    return not any_set(memoryview(source.at(at, size)))


SAFETENSORS = Format(
    "safetensors", _detect, _examine, meant_by(".safetensors"), weights=(".safetensors",)
)

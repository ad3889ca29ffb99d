"""
Finds the tensors of an ONNX model in its protobuf messages, without copying their bytes.

A table says which message holds which (onnx.proto, ONNX 1.23), so that nested graphs are walked
level by level without recursion. Most of a model's bytes are tensor data, which the walk skips.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader, Field

# Message: field number to the message in it.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "initializer", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "constant",
        6: "graph",
        10: "constant",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "initializer", 2: "constant"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_GRAPH, _OPSETS = 7, 8
_FIELD_LIMIT = 2_000_000
_TENSOR_LIMIT = 100_000
# TensorProto: the fields that hold numbers, and the size of one where it is fixed.
_TYPED = {4: 4, 5: 0, 7: 0, 10: 8, 11: 0}
_NAME_LIMIT = 64 * 1024


@dataclass
class ModelTensor:
    """
    One TensorProto.

    :param is_weight: an initializer, not a constant of a node.
    :param begin: first byte of its numbers in the model's file, when they lie there as they are in
        memory.
    :param typed: whether it has numbers in fields of their own instead.
    :param outside: ``location``, ``offset`` and ``length`` of data in another file.
    """

    name: str = ""
    is_weight: bool = False
    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    begin: int = 0
    end: int = 0
    raw: bool = False
    typed: bool = False
    outside: dict[str, str] | None = None


def looks_like_model(window: BoundedReader) -> bool:
    """Whether the outermost message has the fields of a model, and ends with the file."""
    numbers = set()
    try:
        for count, item in enumerate(window.fields(0, window.size)):
            numbers.add(item.number)
            if not numbers <= _MODEL_FIELDS or count > 10_000:
                return False
    except FormatError as damage:
        if damage.code != window.code:
            raise
        return False
    return {_GRAPH, _OPSETS} <= numbers


def model_tensors(window: BoundedReader) -> Iterator[ModelTensor]:
    """
    Yield every tensor of a model, level by level.

    :raises FormatError: the window's code if messages are cut, ``too-large`` beyond two million
        fields.
    """
    pending: deque[tuple[str, int, int]] = deque([("model", 0, window.size)])
    count, tensors, numbers = 0, 0, set()
    while pending:
        kind, begin, end = pending.popleft()
        if kind in ("initializer", "constant"):
            tensors += 1
            yield _tensor(window, begin, end, is_weight=kind == "initializer")
            continue
        for item in window.fields(begin, end):
            count += 1
            if kind == "model":
                numbers.add(item.number)
            inside = _INSIDE[kind].get(item.number)
            if inside is not None:
                pending.append((inside, item.begin, item.end))
            if count > _FIELD_LIMIT or tensors > _TENSOR_LIMIT or len(pending) > _FIELD_LIMIT // 4:
                text = f"more than {_FIELD_LIMIT} fields; the rest was not examined"
                raise FormatError("too-large", text)
    if not {_GRAPH, _OPSETS} <= numbers:
        raise window.damage("no graph, or no version of its operators; it was cut or overwritten")


def _tensor(window: BoundedReader, begin: int, end: int, *, is_weight: bool) -> ModelTensor:
    tensor = ModelTensor(is_weight=is_weight)
    for item in window.fields(begin, end):
        if item.number == 1:
            tensor.shape += _packed(window, item)
        elif item.number == 2:
            tensor.dtype = item.value
        elif item.number == 8:
            tensor.name = window.text(item, _NAME_LIMIT)
        elif item.number == 13:
            key, value = _pair(window, item)
            tensor.outside = {**(tensor.outside or {}), key: value}
        elif item.number in (*_TYPED, 6):
            tensor.typed = True
        if item.number == 9 or (_TYPED.get(item.number) and item.size):
            tensor.begin, tensor.end, tensor.raw = item.begin, item.end, item.number == 9
        if len(tensor.shape) > 64 or len(tensor.outside or ()) > 16:
            text = f"a tensor of {len(tensor.shape)} dimensions at {begin}"
            raise window.damage(f"{text}; at most 64 are believed")
    return tensor


def _packed(window: BoundedReader, item: Field) -> list[int]:
    """Read whole numbers, one in a field or many."""
    if not item.size:
        return [item.value]
    if item.size > 64 * 10:
        raise window.damage(f"a shape of {item.size} bytes at {item.begin}; it was overwritten")
    values, at = [], item.begin
    while at < item.end:
        value, at = window.varint(at)
        values.append(value)
    return values


def _pair(window: BoundedReader, item: Field) -> tuple[str, str]:
    texts = {
        part.number: window.text(part)
        for part in window.fields(item.begin, item.end)
        if part.number in (1, 2)
    }
    return texts.get(1, ""), texts.get(2, "")

"""
Finds the tensors of an ONNX model in its protobuf messages, without copying their bytes.

A table says which message holds which (onnx.proto, ONNX 1.23), so that nested graphs are walked
level by level without recursion. Most of a model's bytes are tensor data, which the walk skips.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader, Cursor, Field

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
_TENSORS = ("initializer", "constant")
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_GRAPH, _OPSETS = 7, 8
# Bounds the time of a walk; a tensor's data is one field, however large it is.
_FIELD_LIMIT = 2_000_000
_PENDING_LIMIT = _FIELD_LIMIT // 4
_TENSOR_LIMIT = 100_000
# TensorProto: the fields that hold values, and the size of one where it is fixed (float, double).
_TYPED = {4: 4, 5: 0, 6: 0, 7: 0, 10: 8, 11: 0}
_NAME_LIMIT = 64 * 1024
_DIMENSION_LIMIT = 64


class _Message(NamedTuple):
    """One that is still to be walked."""

    kind: str
    begin: int
    end: int


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
    # Level by level, so that the weights at the top come before constants of nested graphs.
    pending = deque([_Message("model", 0, window.size)])
    count, tensors, top = 0, 0, set()
    while pending:
        message = pending.popleft()
        if message.kind in _TENSORS:
            tensors += 1
            yield _tensor(window, message)
            continue
        inside = _INSIDE[message.kind]
        for number, _, begin, end in window.fields(message.begin, message.end):
            count += 1
            if message.kind == "model":
                top.add(number)
            if number in inside:
                pending.append(_Message(inside[number], begin, end))
            if count > _FIELD_LIMIT or tensors > _TENSOR_LIMIT or len(pending) > _PENDING_LIMIT:
                text = f"more than {_FIELD_LIMIT} fields; the rest was not examined"
                raise FormatError("too-large", text)
    if not {_GRAPH, _OPSETS} <= top:
        raise window.damage("no graph, or no version of its operators; it was cut or overwritten")


def _tensor(window: BoundedReader, message: _Message) -> ModelTensor:
    tensor = ModelTensor(is_weight=message.kind == "initializer")
    for item in window.fields(message.begin, message.end):
        _take(tensor, window, item)
        dimensions = len(tensor.shape)
        if dimensions > _DIMENSION_LIMIT or len(tensor.outside or ()) > 16:
            text = f"a tensor of {dimensions} dimensions at {message.begin}"
            raise window.damage(f"{text}; at most {_DIMENSION_LIMIT} are believed")
    return tensor


def _take(tensor: ModelTensor, window: BoundedReader, item: Field) -> None:
    match item.number:
        case 1:
            tensor.shape += _packed(window, item)
        case 2:
            tensor.dtype = item.value
        case 8:
            tensor.name = window.text(item, _NAME_LIMIT)
        case 9:
            tensor.begin, tensor.end, tensor.raw = item.begin, item.end, True
        case 13:
            key, value = _pair(window, item)
            tensor.outside = {**(tensor.outside or {}), key: value}
        case number if number in _TYPED:
            tensor.typed = True
            if _TYPED[number] and item.size:
                tensor.begin, tensor.end, tensor.raw = item.begin, item.end, False


def _packed(window: BoundedReader, item: Field) -> list[int]:
    """Read whole numbers, one in a field or many."""
    if not item.size:
        return [item.value]
    if item.size > _DIMENSION_LIMIT * 10:
        raise window.damage(f"a shape of {item.size} bytes at {item.begin}; it was overwritten")
    place, values = Cursor(window, item.begin), []
    while place.at < item.end:
        values.append(place.number())
    return values


def _pair(window: BoundedReader, item: Field) -> tuple[str, str]:
    texts = {
        part.number: window.text(part)
        for part in window.fields(item.begin, item.end)
        if part.number in (1, 2)
    }
    return texts.get(1, ""), texts.get(2, "")

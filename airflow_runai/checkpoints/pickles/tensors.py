"""
Reads tensors and steps from the inert values of a PyTorch pickle.

Knows how ``torch.save`` writes tensors (torch/_utils.py and torch/serialization.py, 2.13),
optimizers, learning-rate schedulers and Lightning checkpoints. Reads no byte of a tensor, but finds
where those bytes must be and how many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeGuard

from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.tensor_places import TensorPlace, place_of
from airflow_runai.checkpoints.pickles.torch_types import DTYPES, PER_BYTE, STORAGE_TYPES
from airflow_runai.checkpoints.pickles.values import Call, Global, Persistent, Place, walk

# Each is compared with the name of every tensor; a training has one or two.
_OPTIMIZER_LIMIT = 64
_SCHEDULER_COUNTS = ("_step_count", "_schedulers")
_OPTIMIZER_KEYS = {"param_groups", "state"}
# Functions that rebuild a tensor, and how many arguments are needed of each.
_VIEWS = {
    "_rebuild_tensor": 4,
    "_rebuild_tensor_v2": 4,
    "_rebuild_tensor_v3": 7,
    "_rebuild_qtensor": 4,
}


@dataclass
class TorchStorage:
    """
    One run of bytes that tensors are views of.

    :param kind: a key of ``FLOAT_LAYOUTS``, or another name.
    :param dtype: its class at PyTorch without "Storage", such as ``Float``.
    """

    key: str
    kind: str
    itemsize: int
    numel: int
    dtype: str = ""
    tensors: list[Tensor] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.itemsize * self.numel


@dataclass(frozen=True)
class Tensor:
    """
    A tensor.

    :param name: path of keys that leads to it.
    :param top: the first of these keys.
    :param storage: what it is a view of.
    :param begin: first byte of the storage that it covers.
    :param end: one after the last byte.
    :param kind: as in :class:`TorchStorage`.
    :param dtype: the storage's, or what PyTorch calls it.
    :param stride: from one element to the next of each dimension, in elements of ``itemsize``
        bytes.
    :param place: what it is a part of.
    """

    name: str
    top: str
    storage: TorchStorage
    begin: int
    end: int
    kind: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    itemsize: int = 1
    place: TensorPlace = "weight"

    @property
    def is_state(self) -> bool:
        """Whether it is a weight or optimizer state; in bookkeeping, scores begin as infinity."""
        return self.place != "other"


@dataclass
class Contents:
    """What is needed from one pickle."""

    storages: dict[str, TorchStorage] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    optimizer_steps: list[Tensor | int] = field(default_factory=list)
    scheduler_steps: list[int] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    """``global_step`` and ``step`` at the top of the dictionary."""


def read_contents(root: object, name: str = "") -> Contents:
    """
    Collect storages, tensors and steps.

    :param root: result of :func:`~airflow_runai.checkpoints.pickles.interpreter.load_inert`.
    :param name: of the object itself, where it is one of many; goes before the names inside.
    :raises FormatError: ``torch-storage`` or ``torch-view`` when a tensor contradicts itself,
        ``pickle-limit`` for depth.
    """
    contents = Contents()
    by_call: dict[int, Tensor] = {}
    mappings: list[dict[object, object]] = []
    optimizers: list[str] = []
    for place in walk(root, name):
        value = place.value
        if isinstance(value, Persistent):
            _storage(contents, value, place.name)
        elif isinstance(value, Call) and (view := _view(value)) is not None:
            tensor = _tensor(contents, view, place, tuple(optimizers))
            by_call[id(value)] = tensor
            contents.tensors.append(tensor)
        elif isinstance(value, dict):
            mappings.append(value)
            if value.keys() >= _OPTIMIZER_KEYS and len(optimizers) < _OPTIMIZER_LIMIT:
                optimizers.append(f"{place.name}.state" if place.name else "state")
    # Only now: an optimizer's steps may be tensors that are met later.
    for mapping in mappings:
        _optimizer_steps(mapping, by_call, contents)
        _scheduler_steps(mapping, contents)
    _top_steps(root, contents)
    return contents


def _problem(code: str, name: str, text: str) -> FormatError:
    return FormatError(code, f"tensor {shown(name)} {text}")


def _storage(contents: Contents, reference: Persistent, name: str) -> TorchStorage:
    cls, key, numel = _identity(reference, name)
    kind, itemsize = STORAGE_TYPES.get(cls.name, ("", 0))
    if not itemsize:
        text = f"storage class {shown(str(cls))} of tensor {shown(name)} is not known"
        raise FormatError("torch-storage", text)
    storage = TorchStorage(key, kind, itemsize, numel, cls.name.removesuffix("Storage"))
    known = contents.storages.setdefault(key, storage)
    if known.nbytes != storage.nbytes:
        sizes = f"{known.nbytes} and {storage.nbytes} bytes"
        raise FormatError("torch-storage", f"storage {shown(key)} is said to have {sizes}")
    return known


def _identity(reference: Persistent, name: str) -> tuple[Global, str, int]:
    """Return class, key and number of elements of a storage."""
    # ("storage", class, key, location, numel); before PyTorch 1.6 None follows, or a view: refused.
    parts = reference.identity if isinstance(reference.identity, tuple) else ()
    if len(parts) == 6 and parts[5] is None:
        parts = parts[:5]
    if len(parts) != 5 or parts[0] != "storage":
        raise _problem("torch-storage", name, "refers to something that is not a storage")
    _, cls, key, _, numel = parts
    if not isinstance(cls, Global) or not isinstance(key, str) or not _is_natural(numel):
        raise _problem("torch-storage", name, "has a malformed storage reference")
    return cls, key, numel


def _view(call: Call) -> Call | None:
    """Return the call that rebuilds a tensor, unwrapped from that of a subclass."""
    if call.function.name == "_rebuild_from_type_v2" and isinstance(call.args, tuple):
        match call.args:
            case (Global() as function, _, args, _):
                call = Call(function, args)
    return call if call.function.name in _VIEWS else None


def _tensor(contents: Contents, call: Call, place: Place, optimizers: tuple[str, ...]) -> Tensor:
    name, args = place.name, _arguments(call, place.name)
    reference, offset, shape, stride = args[:4]
    storage = _storage(contents, reference, name)
    kind, itemsize, dtype = storage.kind, storage.itemsize, storage.dtype
    if call.function.name == "_rebuild_tensor_v3":
        # A type without a storage class of its own, such as float8; the storage has bytes then.
        dtype = args[6].name if isinstance(args[6], Global) else ""
        kind, itemsize = DTYPES.get(dtype, ("bytes", 1))
    first, last = _extent(offset, shape, stride, name)
    packed = PER_BYTE.get(storage.dtype, 1)
    begin = first // packed * itemsize
    end = -(-last // packed) * itemsize
    if end > storage.nbytes:
        text = f"reaches byte {end} of a storage of {storage.nbytes}"
        raise _problem("torch-view", name, text)
    tensor = Tensor(
        name=name,
        top=place.top,
        storage=storage,
        begin=begin,
        end=end,
        kind=kind,
        dtype=dtype,
        shape=shape,
        stride=stride,
        itemsize=itemsize,
        place=place_of(name, place.top, optimizers),
    )
    storage.tensors.append(tensor)
    return tensor


def _arguments(call: Call, name: str) -> tuple[Any, ...]:
    """Return storage, offset, shape and stride of a tensor, and what follows them."""
    args = call.args if isinstance(call.args, tuple) else ()
    if len(args) < _VIEWS[call.function.name] or not isinstance(args[0], Persistent):
        raise _problem("torch-view", name, "is rebuilt from unusual arguments")
    return args


def _extent(offset: object, shape: object, stride: object, name: str) -> tuple[int, int]:
    """First item that a view covers, and one after the last."""
    if not _is_natural(offset) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        text = f"has offset {shown(offset)}; whole numbers from 0 are allowed"
        raise _problem("torch-view", name, text)
    if len(shape) != len(stride) or not all(map(_is_natural, (*shape, *stride))):
        text = "has a shape or stride that is not made of numbers from 0"
        raise _problem("torch-view", name, text)
    if 0 in shape:
        return offset, offset
    last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    return offset, offset + last + 1


def _is_natural(value: object) -> TypeGuard[int]:
    # Not isinstance: True and False are integers, too.
    return type(value) is int and value >= 0


def _optimizer_steps(
    mapping: dict[object, object], by_call: dict[int, Tensor], contents: Contents
) -> None:
    states = mapping.get("state") if "param_groups" in mapping else None
    if not isinstance(states, dict):
        return
    for state in states.values():
        step = state.get("step") if isinstance(state, dict) else None
        if isinstance(step, int):
            contents.optimizer_steps.append(step)
        elif id(step) in by_call:
            contents.optimizer_steps.append(by_call[id(step)])


def _scheduler_steps(mapping: dict[object, object], contents: Contents) -> None:
    # ReduceLROnPlateau counts evaluations, not steps; only it has num_bad_epochs. SequentialLR
    # counts itself without _step_count; its parts, which are met later, count from their turn on.
    if "num_bad_epochs" in mapping or mapping.keys().isdisjoint(_SCHEDULER_COUNTS):
        return
    epoch = mapping.get("last_epoch")
    if type(epoch) is not int:
        return
    contents.scheduler_steps.append(epoch)
    match mapping.get("_last_lr"):
        case [float(rate), *_]:
            contents.learning_rates.append(rate)


def _top_steps(root: object, contents: Contents) -> None:
    if not isinstance(root, dict):
        return
    for key in ("global_step", "step"):
        value = root.get(key)
        if type(value) is int:
            contents.steps[key] = value

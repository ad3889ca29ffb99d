"""
Reads tensors and steps from the inert values of a PyTorch pickle.

Knows how ``torch.save`` writes tensors (torch/_utils.py and torch/serialization.py, 2.13),
optimizers, learning-rate schedulers and Lightning checkpoints. Reads no byte of a tensor, but finds
where those bytes must be and how many.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.tensor_places import TensorPlace, place_of
from airflow_runai.checkpoints.pickles.values import Call, Global, Persistent, Place, walk

_STORAGE_KINDS: dict[str, tuple[str, int]] = {
    "FloatStorage": ("f32", 4),
    "DoubleStorage": ("f64", 8),
    "HalfStorage": ("f16", 2),
    "BFloat16Storage": ("bf16", 2),
    "ComplexFloatStorage": ("f32", 8),
    "ComplexDoubleStorage": ("f64", 16),
    "LongStorage": ("i64", 8),
    "IntStorage": ("i32", 4),
    "QInt32Storage": ("i32", 4),
    "ShortStorage": ("i16", 2),
    **{
        f"{name}Storage": ("u8", 1)
        for name in ("Char", "Byte", "Bool", "QInt8", "QUInt8", "QUInt4x2", "QUInt2x4")
    },
    "UntypedStorage": ("bytes", 1),
}
_DTYPES: dict[str, tuple[str, int]] = {
    "float32": ("f32", 4),
    "float64": ("f64", 8),
    "float16": ("f16", 2),
    "bfloat16": ("bf16", 2),
    "complex64": ("f32", 8),
    "complex128": ("f64", 16),
    "complex32": ("f16", 4),
    "float8_e4m3fn": ("e4m3fn", 1),
    "float8_e5m2": ("e5m2", 1),
    "int64": ("i64", 8),
    "int32": ("i32", 4),
    "int16": ("i16", 2),
    "uint16": ("i16", 2),
    "uint32": ("i32", 4),
    "uint64": ("i64", 8),
}
_OPTIMIZER_LIMIT = 64
_PER_BYTE = {"QUInt4x2": 2, "QUInt2x4": 4}
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
    schedules: list[dict[object, object]] = []
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
            schedules.append(value)
            if "param_groups" in value and "state" in value and len(optimizers) < _OPTIMIZER_LIMIT:
                optimizers.append(f"{place.name}.state" if place.name else "state")
    for mapping in schedules:
        _steps_of(mapping, by_call, contents)
    _top_steps(root, contents)
    return contents


def _storage(contents: Contents, reference: Persistent, name: str) -> TorchStorage:
    # ("storage", class, key, location, numel); before PyTorch 1.6 None follows, or a view: refused.
    identity = reference.identity
    if isinstance(identity, tuple) and len(identity) == 6 and identity[5] is None:
        identity = identity[:5]
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise FormatError(
            "torch-storage", f"tensor {shown(name)} refers to something that is not a storage"
        )
    _, kind, key, _, numel = identity
    if not isinstance(kind, Global) or not isinstance(key, str) or not _natural(numel):
        raise FormatError(
            "torch-storage", f"tensor {shown(name)} has a malformed storage reference"
        )
    layout, itemsize = _STORAGE_KINDS.get(kind.name, ("", 0))
    if not itemsize:
        text = f"storage class {shown(str(kind))} of tensor {shown(name)} is not known"
        raise FormatError("torch-storage", text)
    known = contents.storages.setdefault(
        key, TorchStorage(key, layout, itemsize, numel, kind.name.removesuffix("Storage"))
    )
    if known.nbytes != itemsize * numel:
        raise FormatError(
            "torch-storage",
            f"storage {shown(key)} is said to have {known.nbytes} and {itemsize * numel} bytes",
        )
    return known


def _view(call: Call) -> Call | None:
    """Return the call that rebuilds a tensor, unwrapped from that of a subclass."""
    if call.function.name == "_rebuild_from_type_v2" and isinstance(call.args, tuple):
        match call.args:
            case (Global() as function, _, args, _):
                call = Call(function, args)
    return call if call.function.name in _VIEWS else None


def _tensor(contents: Contents, call: Call, place: Place, optimizers: tuple[str, ...]) -> Tensor:
    name, args = place.name, call.args
    count = _VIEWS[call.function.name]
    if not isinstance(args, tuple) or len(args) < count or not isinstance(args[0], Persistent):
        raise FormatError("torch-view", f"tensor {shown(name)} is rebuilt from unusual arguments")
    storage = _storage(contents, args[0], name)
    kind, itemsize, dtype = storage.kind, storage.itemsize, storage.dtype
    if call.function.name == "_rebuild_tensor_v3":
        dtype = args[6].name if isinstance(args[6], Global) else ""
        kind, itemsize = _DTYPES.get(dtype, ("bytes", 1))
    first, last = _extent(args[1], args[2], args[3], name)
    packed = _PER_BYTE.get(storage.dtype, 1)
    begin, end = first // packed * itemsize, -(-last // packed) * itemsize
    if end > storage.nbytes:
        text = f"tensor {shown(name)} reaches byte {end} of a storage of {storage.nbytes}"
        raise FormatError("torch-view", text)
    tensor = Tensor(
        name=name,
        top=place.top,
        storage=storage,
        begin=begin,
        end=end,
        kind=kind,
        dtype=dtype,
        shape=tuple(args[2]),
        stride=tuple(args[3]),
        itemsize=itemsize,
        place=place_of(name, place.top, optimizers),
    )
    storage.tensors.append(tensor)
    return tensor


def _extent(offset: object, shape: object, stride: object, name: str) -> tuple[int, int]:
    """First item that a view covers, and one after the last."""
    if not _natural(offset) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise FormatError(
            "torch-view",
            f"tensor {shown(name)} has offset {shown(offset)}; whole numbers from 0 are allowed",
        )
    if len(shape) != len(stride) or not all(_natural(number) for number in (*shape, *stride)):
        raise FormatError(
            "torch-view",
            f"tensor {shown(name)} has a shape or stride that is not made of numbers from 0",
        )
    assert isinstance(offset, int)
    if 0 in shape:
        return offset, offset
    return offset, offset + 1 + sum(
        (size - 1) * step for size, step in zip(shape, stride, strict=True)
    )


def _natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _steps_of(
    mapping: dict[object, object], by_call: dict[int, Tensor], contents: Contents
) -> None:
    if "param_groups" in mapping and isinstance(mapping.get("state"), dict):
        states = mapping["state"]
        assert isinstance(states, dict)
        for state in states.values():
            step = state.get("step") if isinstance(state, dict) else None
            if isinstance(step, int):
                contents.optimizer_steps.append(step)
            elif id(step) in by_call:
                contents.optimizer_steps.append(by_call[id(step)])
    # ReduceLROnPlateau counts evaluations, not steps; only it has num_bad_epochs. SequentialLR
    # counts itself without _step_count; its parts, which are met later, count from their turn on.
    counts = "_step_count" in mapping or "_schedulers" in mapping
    if "last_epoch" in mapping and counts and "num_bad_epochs" not in mapping:
        epoch = mapping["last_epoch"]
        if isinstance(epoch, int) and not isinstance(epoch, bool):
            contents.scheduler_steps.append(epoch)
            match mapping.get("_last_lr"):
                case [float(rate), *_]:
                    contents.learning_rates.append(rate)


def _top_steps(root: object, contents: Contents) -> None:
    for key in ("global_step", "step"):
        value = root.get(key) if isinstance(root, dict) else None
        if isinstance(value, int) and not isinstance(value, bool):
            contents.steps[key] = value

"""
The ``.metadata`` file of PyTorch's distributed checkpoints (DCP): where each tensor's pieces lie.

It is a pickle, and ``dcp.load`` unpickles it without any restriction; here the inert interpreter
reads it by the names of its fields. The classes are those of
``torch/distributed/checkpoint/metadata.py`` and ``filesystem.py`` (2.13); fields that other writers
add (Megatron's ``mcore_data``) are skipped.

The file has no checksum. It is compared with itself here, and with the pieces in
:mod:`~airflow_runai.checkpoints.formats.dcp`. Only a damaged name that is the same everywhere goes
undetected, and such a name makes the loader fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeGuard

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.formats.runs import is_size
from airflow_runai.checkpoints.pickles.globals import noting_globals, trust
from airflow_runai.checkpoints.pickles.interpreter import load_inert
from airflow_runai.checkpoints.pickles.values import Call, Global, Key, walk

# With an underscore since PyTorch 2.3.
_MEMORY_FORMATS = ("_MEM_FORMAT_ENCODING", "MEM_FORMAT_ENCODING")

#: Sizes or offsets, one for each dimension.
Numbers = tuple[int, ...]
_Fields = dict[object, object]
# Most of PyTorch refuses more dimensions.
_DIMENSION_LIMIT = 64


@dataclass(slots=True)
class Stored:
    """
    One tensor.

    :param dtype: as PyTorch calls it, such as ``float32``.
    :param chunks: offsets of each piece to its sizes.
    """

    dtype: str
    shape: Numbers
    chunks: dict[Numbers, Numbers]


@dataclass(frozen=True, slots=True)
class Item:
    """
    One saved tensor piece or object.

    :param name: of the tensor or object.
    :param offsets: where in the tensor this piece begins; ``None`` for an object.
    :param file: name of the file that holds it.
    :param begin: its first byte there.
    :param end: one after the last.
    :param packed: it went through a transform (compression) and cannot be read.
    """

    name: str
    offsets: Numbers | None
    file: str
    begin: int
    end: int
    packed: bool

    @property
    def place(self) -> str:
        """Name for findings and the ledger, with the offsets of a piece."""
        if self.offsets and any(self.offsets):
            return f"{self.name}{list(self.offsets)}"
        return self.name


@dataclass
class Index:
    """The content of one or several ``.metadata`` files."""

    tensors: dict[str, Stored] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)
    items: dict[tuple[str, Numbers | None], Item] = field(default_factory=dict)


def read_index(data: bytes, index: Index, context: CheckContext, label: str) -> None:
    """
    Add the content of one file.

    :param data: the whole file.
    :raises FormatError: ``dcp-metadata`` when it contradicts itself, or as the pickle interpreter.
    """
    root = _load(data, context, label)
    fields = _fields(root, "Metadata")
    if "planner_data" not in fields:
        raise _damaged("planner_data is missing")
    for name, value in _taken(fields, "state_dict_metadata"):
        _add_entry(index, _text(name, "name"), value)
    for key, value in _taken(fields, "storage_data"):
        item = _item(_fields(key, "MetadataIndex"), _fields(value, "_StorageInfo"))
        # Several ranks may name the same piece, but only in the same place.
        if index.items.setdefault((item.name, item.offsets), item) != item:
            raise _damaged(f"{shown(item.place)} lies in two places")
    _check_paths(fields["planner_data"], index)


def _load(data: bytes, context: CheckContext, label: str) -> object:
    with noting_globals(label, context) as mentions:
        root = load_inert(data, mentions)
        # Walking refuses what is nested too deeply for a loader.
        for _ in walk(root):
            pass
    return root


def _damaged(what: str) -> FormatError:
    return FormatError(
        "dcp-metadata", f"{what}; it was damaged, or written by something else than PyTorch"
    )


def _is(value: object, kind: str) -> TypeGuard[Call]:
    """Whether a value is an object of PyTorch's class of that name, not of another module's."""
    if not isinstance(value, Call) or value.function.name != kind:
        return False
    return trust(value.function.module, kind) == "allowed"


def _fields(value: object, kind: str) -> _Fields:
    """Return the state of an object of one class."""
    state = value.state if _is(value, kind) else None
    if not isinstance(state, dict):
        found = str(value.function) if isinstance(value, Call) else value
        raise _damaged(f"{shown(found)} where an object of class {kind} is expected")
    return state


def _taken(fields: _Fields, name: str) -> Iterator[tuple[object, object]]:
    """Yield the entries of a mapping and empty it: there may be many, each needed once."""
    mapping = fields.get(name)
    if not isinstance(mapping, dict):
        raise _damaged(f"{name} is {shown(mapping)}, not a mapping")
    while mapping:
        key, value = mapping.popitem()
        yield key.value if isinstance(key, Key) else key, value


def _add_entry(index: Index, name: str, value: object) -> None:
    if _is(value, "BytesStorageMetadata"):
        index.objects.add(name)
        return
    fields = _fields(value, "TensorStorageMetadata")
    chunks = fields.get("chunks")
    if not isinstance(chunks, list):
        raise _damaged(f"the pieces of tensor {shown(name)} are {shown(chunks)}, not a list")
    dtype = _dtype(fields.get("properties"), name)
    shape = _size(fields.get("size"), name)
    stored = index.tensors.setdefault(name, Stored(dtype, shape, {}))
    if (stored.dtype, stored.shape) != (dtype, shape):
        raise _damaged(f"two ranks disagree about dtype or shape of tensor {shown(name)}")
    for chunk in chunks:
        _add_chunk(stored, _fields(chunk, "ChunkStorageMetadata"), name)


def _add_chunk(stored: Stored, fields: _Fields, name: str) -> None:
    offsets = _size(fields.get("offsets"), name)
    sizes = _size(fields.get("sizes"), name)
    if not len(offsets) == len(sizes) == len(stored.shape):
        raise _damaged(
            f"a piece of tensor {shown(name)} has another number of dimensions than the tensor"
        )
    before = stored.chunks.get(offsets, (0,))
    # An empty piece begins where another one does.
    if 0 in before:
        stored.chunks[offsets] = sizes
    elif 0 not in sizes:
        raise _damaged(f"two pieces of tensor {shown(name)} begin at {list(offsets)}")


def _dtype(properties: object, name: str) -> str:
    # State of TensorProperties: dtype, layout, requires_grad, memory format, pin_memory.
    match properties.state if _is(properties, "TensorProperties") else None:
        case (Global("torch", dtype), Call() as layout, bool(), memory, bool()):
            strided = _is(layout, "_get_layout") and layout.args == ("torch.strided",)
            if strided and any(map(partial(_is, memory), _MEMORY_FORMATS)):
                return dtype
    raise _damaged(f"tensor {shown(name)} has no dtype, or a layout that is not strided")


def _size(value: object, name: str) -> Numbers:
    """A ``torch.Size`` is read as a tuple already."""
    if (
        not isinstance(value, tuple)
        or len(value) > _DIMENSION_LIMIT
        or not all(map(is_size, value))
    ):
        raise _damaged(
            f"tensor {shown(name)} has a size or offset that is not made of numbers from 0"
        )
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _damaged(f"a {what} is {shown(value)}, not a short text")
    return value


def _item(key: _Fields, info: _Fields) -> Item:
    name = _text(key.get("fqn"), "name")
    offsets = key.get("offset")
    begin = info.get("offset")
    length = info.get("length")
    file = _file(info, name)
    if not is_size(begin) or not is_size(length):
        raise _damaged(f"{shown(name)} has a place that is not made of numbers from 0")
    return Item(
        name=name,
        # An object has none.
        offsets=None if offsets is None else _size(offsets, name),
        file=file,
        begin=begin,
        end=begin + length,
        packed=bool(info.get("transform_descriptors")),
    )


def _file(info: _Fields, name: str) -> str:
    """Return the name of a file beside ``.metadata``; a path could lead anywhere."""
    file = _text(info.get("relative_path"), "file name")
    is_plain = file not in ("", ".", "..") and set(file).isdisjoint("/\\\0")
    if not is_plain or file.endswith(".metadata"):
        raise FormatError(
            "dcp-metadata",
            f"{shown(name)} is put into file {shown(file)}; plain file names are allowed",
        )
    return file


def _check_paths(mapping: object, index: Index) -> None:
    """
    Compare the names with their keys, which PyTorch's planner keeps; a name is its keys and dots.

    A foreign planner may keep anything, so names that all differ are not compared.
    """
    entries = mapping.items() if isinstance(mapping, dict) else ()
    paths = {key: path for key, path in entries if isinstance(key, str)}
    wrong = [name for name, path in paths.items() if _joined(path) != name]
    if len(wrong) == len(paths):
        return
    names = (*index.tensors, *index.objects)
    wrong += [name for name in names if name not in paths]
    if wrong:
        raise _damaged(f"the name {shown(wrong[0])} and the keys that lead to it differ")


def _joined(path: object) -> object:
    if isinstance(path, tuple) and all(isinstance(part, str | int) for part in path):
        return ".".join(map(str, path))
    return None

"""
The values of one Orbax item: every array that its tree names, and every piece of it, unpacked.

With OCDBT the pieces lie in data files that a tree of nodes names, without it each is a file. A
piece must unpack to the size that its shape needs; a checksum in the frame is compared too. Nothing
here proves that the numbers are those that were written.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.tensor_content import TensorContent
from airflow_runai.checkpoints.containers.ocdbt import Value, values_of
from airflow_runai.checkpoints.containers.zarr import Array, sharded_piece
from airflow_runai.checkpoints.containers.zarr_documents import METADATA, read_array
from airflow_runai.checkpoints.containers.zstd import unpack
from airflow_runai.checkpoints.formats.orbax_documents import read_item_tree
from airflow_runai.checkpoints.storage.listing import Listing

_CODE = "orbax-layout"
_Read = Callable[[int, int], bytes]
_MANIFEST = "manifest.ocdbt"
_DOCUMENT_LIMIT = 1024 * 1024
_PIECE = 512 * 1024
_INDEX = 20


def examine_values(tree: Listing, context: CheckContext, item: str) -> None:
    """
    Check the values of one item; the first damage is noted.

    :param item: its directory with ``/`` behind it, nothing for the top.
    """
    with context.noting((item or tree.label).rstrip("/")):
        store = _Store(tree, context, item)
        store.open()
        store.check_arrays()
        if context.level >= 2:
            store.unpack_all()


@dataclass
class _Store:
    """Keys and where their bytes lie, with OCDBT or without."""

    tree: Listing
    context: CheckContext
    item: str
    values: dict[str, Value] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)

    def open(self) -> None:
        """Find the values and where they lie, and read the descriptions of arrays."""
        self.values = {value.key: value for value in self._find_values()}
        for value in self.values.values():
            if value.inline is None:
                self.check_place(value)
            name, _, last = value.key.rpartition("/")
            if name and last in METADATA:
                self.arrays[name] = read_array(name, self.content(value))

    def _find_values(self) -> Iterator[Value]:
        manifest = self.item + _MANIFEST
        if manifest in self.tree.files:
            size = self.tree.files[manifest].size
            yield from values_of(self.read(_MANIFEST, 0, size), self.read)
            return
        # Without OCDBT the key of a value is the path of its file.
        for path, entry in self.tree.files.items():
            if path.startswith(self.item):
                name = path[len(self.item) :]
                yield Value(name, entry.size, None, name)

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Read bytes of a file of the item."""
        self.check_place(Value(name, size, None, name, offset))
        with Source(self.tree.narrowed_to(self.item + name), self.context) as source:
            return source.at(offset, size)

    def check_place(self, value: Value) -> None:
        """Check that the file of a value is there, and long enough."""
        path = shown(value.path)
        key = shown(value.key)
        entry = self.tree.files.get(self.item + value.path)
        if entry is None:
            raise FormatError("file-missing", f"{path} is missing; {key} lies there")
        end = value.offset + value.size
        if end > entry.size:
            raise _damaged(f"{path} has {entry.size} bytes, {key} ends at {end}; it was cut")

    def content(self, value: Value) -> bytes:
        """Read all of a small value."""
        if value.size > _DOCUMENT_LIMIT:
            raise FormatError(
                "too-large",
                f"{shown(value.key)} of {value.size} bytes; at most {_DOCUMENT_LIMIT} are read",
            )
        if value.inline is not None:
            return value.inline
        return self.read(value.path, value.offset, value.size)

    def check_arrays(self) -> None:
        """Check that every array of the tree is there, and every piece of each array."""
        item_tree = read_item_tree(self.tree, self.context, self.item)
        for name in item_tree.arrays:
            if name not in self.arrays:
                raise FormatError(
                    "file-missing", f"array {shown(name)} is missing; the tree of the item names it"
                )
        for name, array in self.arrays.items():
            # Pieces that equal the fill value may have been left out.
            if item_tree.everything or not array.optional:
                self._check_pieces(name, array)

    def _check_pieces(self, name: str, array: Array) -> None:
        for key in array.piece_keys():
            if f"{name}/{key}" not in self.values:
                raise FormatError(
                    "file-missing", f"piece {shown(key)} of array {shown(name)} is missing"
                )

    def unpack_all(self) -> None:
        """Levels 2 and 3."""
        for name, array in self.arrays.items():
            keys = array.piece_keys()
            content = TensorContent(name, array.kind, 0, array.size * max(len(keys), 1))
            for key in keys:
                value = self.values.get(f"{name}/{key}")
                if value is not None:
                    self._unpack(array, value, content)
            if self.context.level >= 3 and array.whole and array.width:
                content.note(self.context, self.item.rstrip("/") or self.tree.label)

    def _unpack(self, array: Array, value: Value, content: TensorContent) -> None:
        size = 0
        for part in self._parts(array, value):
            size += len(part)
            # A few bytes may unpack to very many.
            if size > array.size:
                break
            if self.context.level >= 3:
                content.feed(memoryview(part))
        if array.width and _is_read(array) and size != array.size:
            raise _damaged(
                f"a piece of array {shown(array.name)} has {size} bytes, "
                f"its shape needs {array.size}; it was cut or overwritten"
            )

    def _parts(self, array: Array, value: Value) -> Iterator[bytes]:
        if value.inline is not None:
            inline = value.inline
            yield from _decoded(array, lambda at, size: inline[at : at + size], value.size)
            return
        with Source(self.tree.narrowed_to(self.item + value.path), self.context) as source:
            read = partial(_shifted, source.at, value.offset)
            yield from _decoded(array, read, value.size)


def _damaged(text: str) -> FormatError:
    return FormatError(_CODE, text)


def _is_read(array: Array) -> bool:
    return array.packing in ("", "zstd", "gzip")


def _decoded(array: Array, read: _Read, size: int) -> Iterator[bytes]:
    begin = 0
    if array.sharded:
        # A shard of zarr 3 ends with an index of its pieces; Orbax writes one piece a shard.
        if size < _INDEX:
            raise _damaged(f"a shard of {size} bytes has no index; it was cut")
        begin, size = sharded_piece(read(size - _INDEX, _INDEX), size)
        # The piece was left out because it equals the fill value.
        if not size:
            yield bytes(array.size)
            return
    read = partial(_shifted, read, begin)
    if array.packing == "zstd":
        yield from unpack(read, size, _CODE)
    elif array.packing == "gzip":
        yield from _inflated(read, size)
    elif not array.packing:
        yield from _pieces(read, size)


def _pieces(read: _Read, size: int) -> Iterator[bytes]:
    for at in range(0, size, _PIECE):
        yield read(at, min(_PIECE, size - at))


def _shifted(read: _Read, begin: int, at: int, size: int) -> bytes:
    return read(begin + at, size)


def _inflated(read: _Read, size: int) -> Iterator[bytes]:
    # 32: the stream says itself whether it is of gzip or of zlib.
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        for pending in _pieces(read, size):
            while pending:
                yield stream.decompress(pending, _PIECE)
                pending = stream.unconsumed_tail
        yield stream.flush()
    except zlib.error as error:
        raise _damaged(f"a piece cannot be unpacked ({error}); it was cut or overwritten") from None

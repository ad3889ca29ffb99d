"""
OCDBT, the store of TensorStore that Orbax writes values into: its keys and where their bytes lie.

A manifest names the root of a B+tree; nodes and values lie in data files, several in one. Manifest
and nodes are one record each: magic, length, body packed with zstd, CRC32C. The layout is that of
tensorstore's documentation of the ``ocdbt`` driver (format version 0), read with what
orbax-checkpoint 0.12.8 writes. Manifests in several files and other compressions are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader, Cursor
from airflow_runai.checkpoints.containers.zstd import unpacked
from airflow_runai.checkpoints.storage.crc32c import ends_with_crc32c

_MANIFEST_MAGIC, _NODE_MAGIC = b"\x0c\xdb\x3a\x2a", b"\x0c\xdb\x20\xde"
_CODE = "orbax-layout"
# Sizes are numbers in the file, so they are bounded; the nodes that Orbax writes have a few KB.
_RECORD_LIMIT = 64 * 1024 * 1024
_BODY_LIMIT = 256 * 1024 * 1024
_ENTRY_LIMIT = 1_000_000
_DEPTH_LIMIT = 16
_FRAME = 16

#: Of a data file: the base of the paths in it, and the rest of its own path.
_Files = list[tuple[str, str]]

#: Reads bytes of a file of the checkpoint: relative path, offset, size.
ReadFile = Callable[[str, int, int], bytes]


@dataclass(frozen=True)
class Value:
    """
    One value.

    :param size: in bytes.
    :param inline: the bytes, where they lie in the tree itself.
    :param path: the file that they lie in, relative to the store, else.
    """

    key: str
    size: int
    inline: bytes | None = None
    path: str = ""
    offset: int = 0


def values_of(manifest: bytes, read: ReadFile) -> Iterator[Value]:
    """
    Yield every value of the newest version.

    :param manifest: the whole of ``manifest.ocdbt``.
    :param read: reads the data files.
    :raises FormatError: ``orbax-layout`` for a contradiction, ``too-large``, ``not-examined`` for
        a kind that is not read, and whatever ``read`` raises.
    """
    body = _Body(_record(manifest, _MANIFEST_MAGIC))
    # The store's identifier, which nothing else refers to.
    body.take(16)
    if body.number():
        raise FormatError("not-examined", "a manifest in several files is not read")
    # The configuration: sizes of inline values and of nodes, versions a node, and compression, of
    # which method 1 (zstd) has a level of 4 bytes. Each node says by itself how it is packed.
    body.numbers(2)
    body.take(1)
    if body.number() == 1:
        body.take(4)
    files = body.files("")
    count = body.count()
    if not count:
        return
    body.numbers(count)
    heights = body.take(count)
    # The last entry of each list is the newest version.
    file, offset, size = (body.numbers(count)[-1] for _ in range(3))
    root = _TreeNode(_Place(files, file, offset, size), heights[-1])
    yield from _walk(root, read)


class _Place:
    """Where a node lies, and the base of the paths in it."""

    def __init__(self, files: _Files, file: int, offset: int, size: int) -> None:
        if file >= len(files):
            raise FormatError(_CODE, f"data file {file} of {len(files)}; it was overwritten")
        self.base, name = files[file]
        self.path = self.base + name
        self.offset = offset
        self.size = size


@dataclass(frozen=True)
class _TreeNode:
    """A node that is still to be read; all its keys begin with the prefix."""

    place: _Place
    height: int
    prefix: bytes = b""


def _walk(root: _TreeNode, read: ReadFile) -> Iterator[Value]:
    pending, met = [root], 0
    while pending:
        node = pending.pop()
        body = _body_of(node, read)
        files = body.files(node.place.base)
        keys = body.texts(numbered=node.height > 0)
        met += len(keys)
        if met > _ENTRY_LIMIT:
            raise FormatError("too-large", f"more than {_ENTRY_LIMIT} values; no more are read")
        if node.height:
            pending.extend(_children(node, body, keys, files))
        else:
            yield from _values(body, [node.prefix + key for key, _ in keys], files)


def _body_of(node: _TreeNode, read: ReadFile) -> _Body:
    place, height = node.place, node.height
    if place.size > _RECORD_LIMIT:
        text = f"a node of {place.size} bytes; at most {_RECORD_LIMIT} are read"
        raise FormatError("too-large", text)
    record = read(place.path, place.offset, place.size)
    body = _Body(_record(record, _NODE_MAGIC))
    if body.take(1)[0] != height or height > _DEPTH_LIMIT:
        text = f"the node in {place.path} is not of height {height}"
        raise FormatError(_CODE, f"{text}; it belongs to another save")
    return body


def _children(
    node: _TreeNode, body: _Body, keys: list[tuple[bytes, int]], files: _Files
) -> Iterator[_TreeNode]:
    places = [body.numbers(len(keys)) for _ in range(3)]
    for (key, common), *place in zip(keys, *places, strict=True):
        # The keys of a child omit what all of them have in common.
        yield _TreeNode(_Place(files, *place), node.height - 1, node.prefix + key[:common])


def _values(body: _Body, keys: list[bytes], files: _Files) -> Iterator[Value]:
    sizes = body.numbers(len(keys))
    kinds = body.take(len(keys))
    outside = len(kinds) - kinds.count(0)
    places = zip(body.numbers(outside), body.numbers(outside), strict=True)
    for raw, size, kind in zip(keys, sizes, kinds, strict=True):
        key = raw.decode("utf-8", "replace")
        if kind:
            place = _Place(files, *next(places), size)
            yield Value(key, size, None, place.path, place.offset)
        else:
            yield Value(key, size, body.take(size))


def _record(data: bytes, magic: bytes) -> bytes:
    """Return the body of a record, after comparing its length and checksum."""
    length = int.from_bytes(data[4:12], "little")
    if len(data) < _FRAME or not data.startswith(magic) or length != len(data):
        raise FormatError(_CODE, f"no record of {len(data)} bytes; it was cut or overwritten")
    if not ends_with_crc32c(data):
        raise FormatError(_CODE, "a record is damaged: its CRC32C does not match")
    content = data[12:-4]
    head = Cursor(BoundedReader.over(content, _CODE))
    version, packed = head.numbers(2)
    if version or packed > 1:
        text = f"version {version}, compression {packed} of OCDBT are not read"
        raise FormatError("not-examined", text)
    body = content[head.at :]
    return unpacked(body, _BODY_LIMIT, _CODE) if packed else body


class _Body(Cursor):
    """The body of a record, read from front to back."""

    def __init__(self, data: bytes) -> None:
        super().__init__(BoundedReader.over(data, _CODE))

    def count(self) -> int:
        """Read a number of entries, each of which takes at least a byte."""
        value, size = self.number(), self.reader.size
        if value > size - self.at:
            raise FormatError(_CODE, f"{value} entries in {size} bytes; it was overwritten")
        return value

    def texts(self, *, numbered: bool = True) -> list[tuple[bytes, int]]:
        """Read texts that share their beginnings with the one before, and a number for each."""
        count = self.count()
        # The first has none before it, and so no length of what it shares.
        prefixes = [0, *self.numbers(count - 1)][:count]
        suffixes = self.numbers(count)
        numbers = self.numbers(count) if numbered else [0] * count
        texts, last, total = [], b"", 0
        for prefix, suffix in zip(prefixes, suffixes, strict=True):
            total += prefix + suffix
            if prefix > len(last) or total > _BODY_LIMIT:
                text = f"a key that begins with {prefix} of {len(last)} bytes"
                raise FormatError(_CODE, f"{text}; it was overwritten")
            last = last[:prefix] + self.take(suffix)
            texts.append(last)
        return list(zip(texts, numbers, strict=True))

    def files(self, base: str) -> _Files:
        """Read the table of data files."""
        pairs = [(raw.decode("utf-8", "replace"), size) for raw, size in self.texts()]
        return [(base + path[:size], path[size:]) for path, size in pairs]

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
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader
from airflow_runai.checkpoints.containers.zstd import unpacked
from airflow_runai.checkpoints.storage.crc32c import crc32c

_MANIFEST_MAGIC, _NODE_MAGIC = b"\x0c\xdb\x3a\x2a", b"\x0c\xdb\x20\xde"
_CODE = "orbax-layout"
_RECORD_LIMIT, _BODY_LIMIT = 64 * 1024 * 1024, 256 * 1024 * 1024
_ENTRY_LIMIT, _DEPTH_LIMIT = 1_000_000, 16
_FRAME = 16

#: Reads bytes of a file of the checkpoint: relative path, offset, size.
Read = Callable[[str, int, int], bytes]


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


def values_of(manifest: bytes, read: Read) -> Iterator[Value]:
    """
    Yield every value of the newest version.

    :param manifest: the whole of ``manifest.ocdbt``.
    :param read: reads the data files.
    :raises FormatError: ``orbax-layout`` for a contradiction, ``too-large``, ``not-examined`` for
        a kind that is not read, and whatever ``read`` raises.
    """
    body = _Body(_record(manifest, _MANIFEST_MAGIC))
    body.skip(16)
    if body.number():
        raise FormatError("not-examined", "a manifest in several files is not read")
    for _ in range(2):
        body.number()
    body.skip(1)
    if body.number() == 1:
        body.skip(4)
    files = body.files("")
    count = body.count()
    if not count:
        return
    body.numbers(count)
    heights = body.take(count)
    # The last entry of each list is the newest version.
    file, offset, size = (body.numbers(count)[-1] for _ in range(3))
    yield from _walk([(_Place(files, file, offset, size), heights[-1], b"")], read)


class _Place:
    """Where a node lies, and the base of the paths in it."""

    def __init__(self, files: list[tuple[str, str]], file: int, offset: int, size: int) -> None:
        if file >= len(files):
            raise FormatError(_CODE, f"data file {file} of {len(files)}; it was overwritten")
        self.base, name = files[file]
        self.path, self.offset, self.size = self.base + name, offset, size


def _walk(pending: list[tuple[_Place, int, bytes]], read: Read) -> Iterator[Value]:
    met = 0
    while pending:
        place, height, prefix = pending.pop()
        if place.size > _RECORD_LIMIT:
            text = f"a node of {place.size} bytes; at most {_RECORD_LIMIT} are read"
            raise FormatError("too-large", text)
        body = _Body(_record(read(place.path, place.offset, place.size), _NODE_MAGIC))
        if body.take(1)[0] != height or height > _DEPTH_LIMIT:
            text = f"the node in {place.path} is not of height {height}"
            raise FormatError(_CODE, f"{text}; it belongs to another save")
        files, keys = body.files(place.base), body.keys(interior=height > 0)
        met += len(keys)
        if met > _ENTRY_LIMIT:
            raise FormatError("too-large", f"more than {_ENTRY_LIMIT} values; no more are read")
        if height:
            numbers = [body.numbers(len(keys)) for _ in range(3)]
            for (key, common), file, offset, size in zip(keys, *numbers, strict=True):
                child = _Place(files, file, offset, size)
                pending.append((child, height - 1, prefix + key[:common]))
        else:
            yield from _leaf(body, [prefix + key for key, _ in keys], files)


def _leaf(body: _Body, keys: list[bytes], files: list[tuple[str, str]]) -> Iterator[Value]:
    sizes, kinds = body.numbers(len(keys)), body.take(len(keys))
    outside = [number for number, kind in enumerate(kinds) if kind]
    numbers = [dict(zip(outside, body.numbers(len(outside)), strict=True)) for _ in range(2)]
    for number, (raw, size) in enumerate(zip(keys, sizes, strict=True)):
        key = raw.decode("utf-8", "replace")
        if kinds[number]:
            place = _Place(files, numbers[0][number], numbers[1][number], size)
            yield Value(key, size, None, place.path, place.offset)
        else:
            yield Value(key, size, body.take(size))


def _record(data: bytes, magic: bytes) -> bytes:
    """Return the body of a record, after comparing its length and checksum."""
    if len(data) < _FRAME or data[:4] != magic or int.from_bytes(data[4:12], "little") != len(data):
        raise FormatError(_CODE, f"no record of {len(data)} bytes; it was cut or overwritten")
    if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise FormatError(_CODE, "a record is damaged: its CRC32C does not match")
    window = BoundedReader.over(data[12:-4], _CODE)
    version, at = window.varint(0)
    packed, at = window.varint(at)
    if version or packed > 1:
        text = f"version {version}, compression {packed} of OCDBT are not read"
        raise FormatError("not-examined", text)
    body = data[12 + at : -4]
    return unpacked(body, _BODY_LIMIT, _CODE) if packed else body


class _Body:
    """A place in a body that moves forward."""

    def __init__(self, data: bytes) -> None:
        self._window = BoundedReader.over(data, _CODE)
        self._at = 0

    def number(self) -> int:
        value, self._at = self._window.varint(self._at)
        return value

    def numbers(self, count: int) -> list[int]:
        return [self.number() for _ in range(count)]

    def count(self) -> int:
        """Read a number of entries, each of which takes at least a byte."""
        value = self.number()
        if value > self._window.size - self._at:
            text = f"{value} entries in {self._window.size} bytes; it was overwritten"
            raise FormatError(_CODE, text)
        return value

    def take(self, size: int) -> bytes:
        self._at += size
        return self._window.bytes(self._at - size, size)

    def skip(self, size: int) -> None:
        self.take(size)

    def texts(self, prefixes: list[int], suffixes: list[int]) -> list[bytes]:
        """Read texts that share their beginnings with the one before."""
        texts, last, total = [], b"", 0
        for prefix, suffix in zip(prefixes, suffixes, strict=True):
            total += prefix + suffix
            if prefix > len(last) or total > _BODY_LIMIT:
                text = f"a key that begins with {prefix} of {len(last)} bytes"
                raise FormatError(_CODE, f"{text}; it was overwritten")
            last = last[:prefix] + self.take(suffix)
            texts.append(last)
        return texts

    def files(self, base: str) -> list[tuple[str, str]]:
        """Read the table of data files: base and name of each."""
        count = self.count()
        prefixes, suffixes = [0, *self.numbers(count - 1)][:count], self.numbers(count)
        bases = self.numbers(count)
        paths = [path.decode("utf-8", "replace") for path in self.texts(prefixes, suffixes)]
        return [(base + path[:size], path[size:]) for path, size in zip(paths, bases, strict=True)]

    def keys(self, *, interior: bool) -> list[tuple[bytes, int]]:
        """Read keys, and how much of each the keys below it omit."""
        count = self.count()
        prefixes, suffixes = [0, *self.numbers(count - 1)][:count], self.numbers(count)
        common = self.numbers(count) if interior else [0] * count
        return list(zip(self.texts(prefixes, suffixes), common, strict=True))

"""
The index of a TensorFlow checkpoint, ``PREFIX.index``, and the checksums that prove its tensors.

The index is a LevelDB table of protobuf messages (``BundleHeaderProto`` under the empty key,
``BundleEntryProto`` under each tensor's name; tensor_bundle.proto, TensorFlow 2.21). Every tensor
has a CRC32C, texts included, whose sum covers their lengths as numbers instead of the bytes that
hold them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import prod

from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader
from airflow_runai.checkpoints.containers.leveldb import read_table
from airflow_runai.checkpoints.storage.crc32c import crc32c, unmasked

INDEX_CODE = "tensorflow-index"
_DATA_CODE = "tensorflow-data"
_INDEX_LIMIT = 48 * 1024 * 1024
_ENTRY_LIMIT = 100_000
_TEXTS_LIMIT = 1_000_000
_STRING = 7
# Name, float layout and size of types.proto's DataType.
_TYPES: dict[int, tuple[str, str, int]] = {
    1: ("float32", "f32", 4),
    2: ("float64", "f64", 8),
    14: ("bfloat16", "bf16", 2),
    19: ("float16", "f16", 2),
    8: ("complex64", "f32", 8),
    18: ("complex128", "f64", 16),
    24: ("float8_e5m2", "e5m2", 1),
    25: ("float8_e4m3fn", "e4m3fn", 1),
    3: ("int32", "bytes", 4),
    9: ("int64", "bytes", 8),
    22: ("uint32", "bytes", 4),
    23: ("uint64", "bytes", 8),
    4: ("uint8", "bytes", 1),
    6: ("int8", "bytes", 1),
    10: ("bool", "bytes", 1),
    5: ("int16", "bytes", 2),
    17: ("uint16", "bytes", 2),
    15: ("qint16", "bytes", 2),
    16: ("quint16", "bytes", 2),
    11: ("qint8", "bytes", 1),
    12: ("quint8", "bytes", 1),
    13: ("qint32", "bytes", 4),
}


@dataclass(frozen=True)
class BundleEntry:
    """
    One tensor of a bundle.

    :param crc: CRC32C of its bytes (of a text tensor: see :class:`Sum`).
    :param dtype: TensorFlow's number of its type.
    """

    name: str
    dtype: int
    shape: tuple[int, ...]
    shard: int
    begin: int
    size: int
    crc: int

    @property
    def end(self) -> int:
        """One after its last byte in the shard."""
        return self.begin + self.size

    @property
    def type_name(self) -> str:
        """Name of its type."""
        if self.dtype == _STRING:
            return "string"
        return _TYPES.get(self.dtype, (f"type {self.dtype}", "", 0))[0]

    @property
    def kind(self) -> str:
        """Float layout."""
        return _TYPES.get(self.dtype, ("", "bytes", 0))[1]


@dataclass
class Bundle:
    """The content of an index."""

    shards: int = 1
    byteorder: ByteOrder = "little"
    entries: list[BundleEntry] = field(default_factory=list)


def read_bundle(source: Source) -> Bundle:
    """
    Read and check a whole ``.index`` file.

    :raises FormatError: ``tensorflow-index``, or ``too-large``.
    """
    if source.size > _INDEX_LIMIT:
        raise FormatError(
            "too-large", f"index of {source.size} bytes; at most {_INDEX_LIMIT} are read"
        )
    bundle, headers = Bundle(), 0
    for key, value in read_table(source.at(0, source.size), INDEX_CODE):
        message = BoundedReader.over(value, INDEX_CODE)
        if not key:
            _read_header(message, bundle)
            headers += 1
        elif (entry := _entry(key, message, bundle)) is not None:
            bundle.entries.append(entry)
        if len(bundle.entries) > _ENTRY_LIMIT:
            raise FormatError(
                "too-large", f"more than {_ENTRY_LIMIT} tensors; the others were not examined"
            )
    if headers != 1:
        raise FormatError(INDEX_CODE, f"{headers} headers; a checkpoint of TensorFlow has one")
    return bundle


def _read_header(message: BoundedReader, bundle: Bundle) -> None:
    for item in message.fields(0, message.size):
        if item.number == 1:
            bundle.shards = item.value
        elif item.number == 2:
            bundle.byteorder = "big" if item.value else "little"
    if not 1 <= bundle.shards <= 100_000:
        raise FormatError(INDEX_CODE, f"{bundle.shards} shards; 1 to 100000 are believed")


def _entry(key: bytes, message: BoundedReader, bundle: Bundle) -> BundleEntry | None:
    """Read one entry; ``None`` for a partitioned variable, whose parts are entries themselves."""
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] = ()
    for item in message.fields(0, message.size):
        if item.number == 7:
            return None
        if item.number == 2:
            shape = _shape(message, item.begin, item.end)
        elif item.number in numbers:
            numbers[item.number] = item.value
    path = key.decode("utf-8", "backslashreplace")
    entry = BundleEntry(
        name=path.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace("/", "."),
        dtype=numbers[1],
        shape=shape,
        shard=numbers[3],
        begin=numbers[4],
        size=numbers[5],
        crc=unmasked(numbers[6]),
    )
    width = _TYPES.get(entry.dtype, ("", "", 0))[2]
    if entry.shard >= bundle.shards or (width and prod(shape) * width != entry.size):
        content = f"{entry.size} bytes of {entry.type_name} {list(shape)}"
        place = f"in shard {entry.shard} of {bundle.shards}"
        text = f"tensor {shown(entry.name)}: {content} {place} cannot be; it was overwritten"
        raise FormatError(INDEX_CODE, text)
    return entry


def _shape(message: BoundedReader, begin: int, end: int) -> tuple[int, ...]:
    sizes = []
    for dimension in message.fields(begin, end):
        if dimension.number == 2:
            inside = message.fields(dimension.begin, dimension.end)
            sizes.append(sum(item.value for item in inside if item.number == 1))
    if len(sizes) > 254:
        raise message.damage(f"{len(sizes)} dimensions; at most 254 are allowed")
    return tuple(sizes)


class Sum:
    """
    CRC32C of one tensor, chunk by chunk.

    :param entry: the tensor.
    :param source: its shard; the lengths of a text tensor are read from there at once.
    :param byteorder: of the machine that wrote it.

    ``proves`` is false if it is not known how TensorFlow sums: variants, texts of a big-endian
    machine, and more than a million texts.
    """

    def __init__(self, entry: BundleEntry, source: Source, byteorder: ByteOrder) -> None:
        self.value = 0
        self.proves = entry.dtype in _TYPES
        self._skipped = 0
        if entry.dtype == _STRING and byteorder == "little" and prod(entry.shape) <= _TEXTS_LIMIT:
            self._skipped = self._sum_lengths(entry, source)
            self.proves = True

    def _sum_lengths(self, entry: BundleEntry, source: Source) -> int:
        """Sum the lengths as numbers of 4 or 8 bytes, then their checksum; return their size."""
        window = BoundedReader(source.at, entry.end, _DATA_CODE)
        at, total, lengths = entry.begin, 0, bytearray()
        for _ in range(prod(entry.shape)):
            length, at = window.varint(at)
            lengths += struct.pack("<I" if length < 1 << 32 else "<Q", length)
            total += length
        if at + 4 + total != entry.end:
            text = f"tensor {shown(entry.name)}: its texts do not fill its {entry.size} bytes"
            raise FormatError(_DATA_CODE, text)
        self.value = crc32c(window.bytes(at, 4), crc32c(lengths))
        return at + 4 - entry.begin

    def feed(self, chunk: memoryview) -> None:
        """Take the next chunk."""
        skipped = min(self._skipped, len(chunk))
        self._skipped -= skipped
        self.value = crc32c(chunk[skipped:], self.value)

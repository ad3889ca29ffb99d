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
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader, Field
from airflow_runai.checkpoints.containers.leveldb import read_table
from airflow_runai.checkpoints.storage.crc32c import crc32c, unmasked

INDEX_CODE = "tensorflow-index"
_DATA_CODE = "tensorflow-data"
_INDEX_LIMIT = 48 * 1024 * 1024
_ENTRY_LIMIT = 100_000
_SHARD_LIMIT = 100_000
# The lengths of a text tensor are read one by one.
_TEXTS_LIMIT = 1_000_000
# TensorShape::MaxDimensions().
_DIMENSION_LIMIT = 254
_STRING = 7
# Name and size of types.proto's DataType; 0 where each value has its own size.
_TYPES: dict[int, tuple[str, int]] = {
    1: ("float32", 4),
    2: ("float64", 8),
    14: ("bfloat16", 2),
    19: ("float16", 2),
    8: ("complex64", 8),
    18: ("complex128", 16),
    24: ("float8_e5m2", 1),
    25: ("float8_e4m3fn", 1),
    3: ("int32", 4),
    9: ("int64", 8),
    22: ("uint32", 4),
    23: ("uint64", 8),
    4: ("uint8", 1),
    6: ("int8", 1),
    10: ("bool", 1),
    5: ("int16", 2),
    17: ("uint16", 2),
    15: ("qint16", 2),
    16: ("quint16", 2),
    11: ("qint8", 1),
    12: ("quint8", 1),
    13: ("qint32", 4),
    _STRING: ("string", 0),
}
_LAYOUTS = {
    "float32": "f32",
    "float64": "f64",
    "bfloat16": "bf16",
    "float16": "f16",
    # A complex number is two floats.
    "complex64": "f32",
    "complex128": "f64",
    "float8_e5m2": "e5m2",
    "float8_e4m3fn": "e4m3fn",
}
# Fields of BundleHeaderProto.
_SHARDS = 1
_ENDIANNESS = 2
# Fields of BundleEntryProto; a partitioned variable has slices and no bytes of its own.
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _CRC, _SLICES = range(1, 8)
# TensorShapeProto.dim, TensorShapeProto.Dim.size.
_DIMENSION = 2
_LENGTH = 1


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
        name, _ = _TYPES.get(self.dtype, (f"type {self.dtype}", 0))
        return name

    @property
    def kind(self) -> str:
        """Float layout."""
        return _LAYOUTS.get(self.type_name, "bytes")

    @property
    def has_right_size(self) -> bool:
        """Whether it has as many bytes as its shape needs, where that is known."""
        _, width = _TYPES.get(self.dtype, ("", 0))
        return width == 0 or prod(self.shape) * width == self.size


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
    bundle = Bundle()
    headers = 0
    for key, value in read_table(source.at(0, source.size), INDEX_CODE):
        message = BoundedReader.over(value, INDEX_CODE)
        # The table is sorted, so the header comes first.
        if not key:
            _read_header(message, bundle)
            headers += 1
        else:
            _add_entry(key, message, bundle)
        if len(bundle.entries) > _ENTRY_LIMIT:
            raise FormatError(
                "too-large", f"more than {_ENTRY_LIMIT} tensors; the others were not examined"
            )
    if headers != 1:
        raise _damaged(f"{headers} headers; a checkpoint of TensorFlow has one")
    return bundle


def _damaged(text: str) -> FormatError:
    return FormatError(INDEX_CODE, text)


def _read_header(message: BoundedReader, bundle: Bundle) -> None:
    for item in message.fields(0, message.size):
        if item.number == _SHARDS:
            bundle.shards = item.value
        elif item.number == _ENDIANNESS:
            bundle.byteorder = "big" if item.value else "little"
    if not 1 <= bundle.shards <= _SHARD_LIMIT:
        raise _damaged(f"{bundle.shards} shards; 1 to {_SHARD_LIMIT} are believed")


def _add_entry(key: bytes, message: BoundedReader, bundle: Bundle) -> None:
    """Add one tensor; a partitioned variable is none, its parts are entries themselves."""
    numbers, shape = _fields(message)
    if _SLICES in numbers:
        return
    entry = BundleEntry(
        name=_name(key),
        dtype=numbers[_DTYPE],
        shape=shape,
        shard=numbers[_SHARD],
        begin=numbers[_OFFSET],
        size=numbers[_SIZE],
        crc=unmasked(numbers[_CRC]),
    )
    if entry.shard >= bundle.shards or not entry.has_right_size:
        raise _damaged(
            f"tensor {shown(entry.name)}: {entry.size} bytes of {entry.type_name} {list(shape)} "
            f"in shard {entry.shard} of {bundle.shards} cannot be; it was overwritten"
        )
    bundle.entries.append(entry)


def _fields(message: BoundedReader) -> tuple[dict[int, int], tuple[int, ...]]:
    # Protobuf leaves out what is 0.
    numbers = dict.fromkeys((_DTYPE, _SHARD, _OFFSET, _SIZE, _CRC), 0)
    shape: tuple[int, ...] = ()
    for item in message.fields(0, message.size):
        numbers[item.number] = item.value
        if item.number == _SLICES:
            break
        if item.number == _SHAPE:
            shape = _shape(message, item)
    return numbers, shape


def _name(key: bytes) -> str:
    """Return a tensor's name without the ending that tf.train.Checkpoint gives every variable."""
    path = key.decode("utf-8", "backslashreplace")
    return path.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace("/", ".")


def _shape(message: BoundedReader, field: Field) -> tuple[int, ...]:
    sizes = []
    for dimension in message.fields(field.begin, field.end):
        if dimension.number == _DIMENSION:
            items = message.fields(dimension.begin, dimension.end)
            sizes.append(sum(item.value for item in items if item.number == _LENGTH))
    if len(sizes) > _DIMENSION_LIMIT:
        raise message.damage(f"{len(sizes)} dimensions; at most {_DIMENSION_LIMIT} are allowed")
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
        self.entry = entry
        self.value = 0
        self.proves = entry.dtype in _TYPES
        self._skipped = 0
        if entry.dtype == _STRING:
            self.proves = byteorder == "little" and prod(entry.shape) <= _TEXTS_LIMIT
            self._skipped = self._sum_lengths(entry, source) if self.proves else 0

    def _sum_lengths(self, entry: BundleEntry, source: Source) -> int:
        """Sum the lengths as numbers of 4 or 8 bytes, then their checksum; return their size."""
        window = BoundedReader(source.at, entry.end, _DATA_CODE)
        at = entry.begin
        total = 0
        lengths = bytearray()
        for _ in range(prod(entry.shape)):
            length, at = window.varint(at)
            lengths += struct.pack("<I" if length < 1 << 32 else "<Q", length)
            total += length
        # Behind the lengths stands their own CRC32C, behind that the texts.
        texts = at + 4
        if texts + total != entry.end:
            raise FormatError(
                _DATA_CODE,
                f"tensor {shown(entry.name)}: its texts do not fill its {entry.size} bytes",
            )
        self.value = crc32c(window.bytes(at, 4), crc32c(lengths))
        return texts - entry.begin

    def feed(self, chunk: memoryview) -> None:
        """Take the next chunk."""
        skipped = min(self._skipped, len(chunk))
        self._skipped -= skipped
        self.value = crc32c(chunk[skipped:], self.value)

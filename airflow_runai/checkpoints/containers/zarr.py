"""
Arrays of Zarr, formats 2 and 3, as TensorStore writes them for Orbax: which pieces there must be, and of what size.

Says nothing about where the pieces lie. Read are pieces without compression and with zstd or gzip,
plain or in one shard of format 3; of others it is only known that they are there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice, product
from math import ceil, prod
from typing import Any

from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.storage.crc32c import crc32c

#: Names of the documents that describe an array, in formats 2 and 3.
METADATA = (".zarray", "zarr.json")
_CODE = "orbax-layout"
_PIECE_LIMIT = 1_000_000
_WIDTHS = {
    "bool": 1,
    "bfloat16": 2,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
_KINDS = {
    "bfloat16": "bf16",
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "complex64": "f32",
}
_OTHER_TYPES = ("float8_", "float4_", "int4", "int2", "uint4", "uint2", "r")
_TYPES = {"f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128"}
_SHARD_ENTRY, _CRC_SIZE = 16, 4
# What TensorStore writes into the two documents, and the codecs that it knows.
_MEMBERS2 = {
    "chunks",
    "compressor",
    "dtype",
    "fill_value",
    "filters",
    "order",
    "shape",
    "zarr_format",
}
_MEMBERS3 = {
    "chunk_grid",
    "chunk_key_encoding",
    "codecs",
    "data_type",
    "fill_value",
    "node_type",
    "shape",
    "zarr_format",
}
_MORE = {"dimension_separator", "attributes", "dimension_names", "storage_transformers"}
_COMPRESSORS = {"zstd", "zlib", "gzip", "bz2", "blosc"}
_CODECS = {
    "bytes": {"endian"},
    "zstd": {"level", "checksum"},
    "gzip": {"level"},
    "crc32c": set(),
    "transpose": {"order"},
    "blosc": {"cname", "clevel", "shuffle", "typesize", "blocksize"},
    "sharding_indexed": {"chunk_shape", "codecs", "index_codecs", "index_location"},
}


@dataclass(frozen=True)
class Array:
    """
    What an array promises.

    :param shape: of the whole, in elements.
    :param piece: shape of one piece; those at the end are padded to it.
    :param dtype: as NumPy calls it, or as the document does.
    :param kind: its float layout, a key of ``FLOAT_LAYOUTS``, or another name.
    :param width: of an element in bytes; 0 where that is not known.
    :param packing: ``""``, ``zstd``, ``gzip``, or another name, of which nothing is known.
    :param sharded: whether each piece is a shard with one piece in it, and an index behind.
    :param optional: whether a piece that is not there stands for a value.
    """

    name: str
    shape: tuple[int, ...]
    piece: tuple[int, ...]
    dtype: str
    kind: str
    width: int
    packing: str
    sharded: bool
    optional: bool
    between: str
    before: str

    @property
    def grid(self) -> tuple[int, ...]:
        """How many pieces there are along each dimension."""
        return tuple(
            ceil(size / step) if step else 0
            for size, step in zip(self.shape, self.piece, strict=True)
        )

    @property
    def size(self) -> int:
        """Bytes of one piece when it is unpacked."""
        return prod(self.piece) * self.width

    @property
    def whole(self) -> bool:
        """Whether no piece is padded."""
        return all(
            size % step == 0 for size, step in zip(self.shape, self.piece, strict=True) if step
        )

    def keys(self) -> list[str]:
        """
        Key of every piece, relative to the array.

        :raises FormatError: ``too-large`` beyond a million.
        """
        count = prod(self.grid)
        if count > _PIECE_LIMIT:
            raise FormatError(
                "too-large",
                f"array {shown(self.name)} has {count} pieces; at most {_PIECE_LIMIT} are read",
            )
        places = islice(product(*map(range, self.grid)), count)
        return [self._key(place) for place in places]

    def _key(self, place: tuple[int, ...]) -> str:
        numbers = self.between.join(map(str, place))
        if self.before:
            return f"{self.before}{self.between}{numbers}" if place else self.before
        return numbers or "0"


def read_array(name: str, data: bytes) -> Array:
    """
    Read the document that describes an array.

    :param name: of the array.
    :param data: ``.zarray`` or ``zarr.json``.
    :raises FormatError: ``orbax-layout`` for what is none.
    """
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError(
            _CODE, f"the description of array {shown(name)} is no JSON; it was cut or overwritten"
        ) from None
    try:
        return _format2(name, told) if told["zarr_format"] == 2 else _format3(name, told)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        text = f"the description of array {shown(name)} lacks what Zarr writes; it was overwritten"
        raise FormatError(_CODE, text) from None


def _format2(name: str, told: dict[str, Any]) -> Array:
    _expect(_MEMBERS2 <= set(told) <= _MEMBERS2 | _MORE and told["order"] in ("C", "F"))
    dtype, compressor = str(told["dtype"]), told["compressor"]
    _expect(compressor is None or compressor["id"] in _COMPRESSORS)
    short = dtype.lstrip("<>|=")
    width = _WIDTHS.get(short, 0) or (
        int(short[1:]) if re.fullmatch(r"[a-zA-Z]\d{1,3}", short) else 0
    )
    kind = _KINDS.get(_TYPES.get(short, short), "bytes") if not dtype.startswith(">") else "bytes"
    packing = "" if compressor is None else str(compressor["id"])
    packing = "gzip" if packing == "zlib" else packing
    if told.get("filters"):
        packing = "filters"
    optional = told.get("fill_value") is not None
    between = str(told.get("dimension_separator") or ".")
    _expect(width > 0 or short.startswith(_OTHER_TYPES))
    return Array(
        name,
        *_shapes(told["shape"], told["chunks"]),
        dtype,
        kind,
        width,
        packing,
        False,
        optional,
        between,
        "",
    )


def _format3(name: str, told: dict[str, Any]) -> Array:
    _expect(_MEMBERS3 <= set(told) <= _MEMBERS3 | _MORE)
    _expect(
        told["zarr_format"] == 3
        and told["node_type"] == "array"
        and told["chunk_grid"]["name"] == "regular"
    )
    shapes = _shapes(told["shape"], told["chunk_grid"]["configuration"]["chunk_shape"])
    codecs, sharded = told["codecs"], False
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        # One piece in each shard is what Orbax writes; several are only known to be there.
        inner = codecs[0]["configuration"]
        _expect(set(inner) <= _CODECS["sharding_indexed"])
        _expect([codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"])
        _expect(
            _endings(inner["index_codecs"]) == {"little"}
            and inner.get("index_location", "end") == "end"
        )
        sharded, codecs = (
            True,
            inner["codecs"] if tuple(inner["chunk_shape"]) == shapes[1] else codecs,
        )
    names = [codec["name"] for codec in codecs]
    little = _endings(codecs) == {"little"}
    packing = {("bytes",): "", ("bytes", "zstd"): "zstd", ("bytes", "gzip"): "gzip"}.get(
        tuple(names), "+".join(names)
    )
    dtype = str(told["data_type"])
    digits = re.fullmatch(r"u?int(\d{1,2})", dtype)
    width = _WIDTHS.get(dtype, 0) or (max(int(digits[1]) // 8, 1) if digits else 0)
    kind = _KINDS.get(dtype, "bytes") if little else "bytes"
    _expect(width > 0 or dtype.startswith(_OTHER_TYPES))
    encoding = told["chunk_key_encoding"]
    _expect(encoding["name"] in ("default", "v2"))
    between = encoding.get("configuration", {}).get(
        "separator", "/" if encoding["name"] == "default" else "."
    )
    before = "c" if encoding["name"] == "default" else ""
    return Array(name, *shapes, dtype, kind, width, packing, sharded, True, str(between), before)


def _endings(codecs: list[dict[str, Any]]) -> set[object]:
    """Which byte orders codecs name, after each was compared with what it may say."""
    found: set[object] = set()
    for codec in codecs:
        told = codec.get("configuration", {})
        _expect(set(codec) <= {"name", "configuration"} and set(told) <= _CODECS[codec["name"]])
        _expect(type(told.get("level", 0)) is int and -(1 << 17) <= told.get("level", 0) <= 22)
        _expect(isinstance(told.get("checksum", False), bool))
        found.add(told.get("endian", "little"))
    _expect(found <= {"little", "big"})
    return found


def _expect(holds: bool) -> None:
    if not holds:
        raise ValueError("not what TensorStore writes")


def _shapes(shape: object, piece: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
    for numbers in (shape, piece):
        if not isinstance(numbers, list) or not all(
            type(number) is int and 0 <= number < 1 << 48 for number in numbers
        ):
            raise ValueError("no shape")
    assert isinstance(shape, list)
    assert isinstance(piece, list)
    if len(shape) != len(piece) or (0 in piece and 0 not in shape):
        raise ValueError("pieces of another shape")
    return tuple(shape), tuple(piece)


def sharded_piece(index: bytes, size: int) -> tuple[int, int]:
    """
    Offset and length of the one piece in a shard; (0, 0) where it stands for a value.

    :param index: the last 20 bytes of the shard: offset, length and CRC32C.
    :param size: of the shard, in bytes.
    """
    if len(index) != _SHARD_ENTRY + _CRC_SIZE or crc32c(index[:-4]) != int.from_bytes(
        index[-4:], "little"
    ):
        raise FormatError(_CODE, "the index of a shard is damaged: its CRC32C does not match")
    offset, length = int.from_bytes(index[:8], "little"), int.from_bytes(index[8:16], "little")
    if offset == length == (1 << 64) - 1:
        return 0, 0
    if offset + length + len(index) > size:
        raise FormatError(
            _CODE, "the index of a shard reaches beyond it; it was cut or overwritten"
        )
    return offset, length

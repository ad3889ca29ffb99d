"""
Arrays of Zarr, formats 2 and 3, as TensorStore writes them for Orbax: their pieces and sizes.

Does not know where the pieces lie. Pieces are read without compression and with zstd or gzip, plain
or in one shard of format 3; of others it is only known that they exist.
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
_PACKINGS3 = {("bytes",): "", ("bytes", "zstd"): "zstd", ("bytes", "gzip"): "gzip"}
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
    The description of an array.

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
        """Number of pieces along each dimension."""
        pairs = zip(self.shape, self.piece, strict=True)
        return tuple(ceil(size / step) if step else 0 for size, step in pairs)

    @property
    def size(self) -> int:
        """Size of one unpacked piece in bytes."""
        return prod(self.piece) * self.width

    @property
    def whole(self) -> bool:
        """Whether no piece is padded."""
        pairs = zip(self.shape, self.piece, strict=True)
        return all(size % step == 0 for size, step in pairs if step)

    def piece_keys(self) -> list[str]:
        """
        Return the key of every piece, relative to the array.

        :raises FormatError: ``too-large`` beyond a million.
        """
        count = prod(self.grid)
        if count > _PIECE_LIMIT:
            text = f"array {shown(self.name)} has {count} pieces; at most {_PIECE_LIMIT} are read"
            raise FormatError("too-large", text)
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
    subject = f"the description of array {shown(name)}"
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError(_CODE, f"{subject} is no JSON; it was cut or overwritten") from None
    try:
        is_format2 = document["zarr_format"] == 2
        return _format2(name, document) if is_format2 else _format3(name, document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        text = f"{subject} lacks what Zarr writes; it was overwritten"
        raise FormatError(_CODE, text) from None


def _format2(name: str, document: dict[str, Any]) -> Array:
    _expect(_MEMBERS2 <= set(document) <= _MEMBERS2 | _MORE)
    _expect(document["order"] in ("C", "F"))
    dtype, compressor = str(document["dtype"]), document["compressor"]
    _expect(compressor is None or compressor["id"] in _COMPRESSORS)
    short = dtype.lstrip("<>|=")
    has_size = re.fullmatch(r"[a-zA-Z]\d{1,3}", short) is not None
    width = _WIDTHS.get(short, 0) or (int(short[1:]) if has_size else 0)
    _expect(width > 0 or short.startswith(_OTHER_TYPES))
    shape, piece = _shapes(document["shape"], document["chunks"])
    big = dtype.startswith(">")
    return Array(
        name=name,
        shape=shape,
        piece=piece,
        dtype=dtype,
        kind="bytes" if big else _KINDS.get(_TYPES.get(short, short), "bytes"),
        width=width,
        packing=_packing2(document),
        sharded=False,
        optional=document.get("fill_value") is not None,
        between=str(document.get("dimension_separator") or "."),
        before="",
    )


def _packing2(document: dict[str, Any]) -> str:
    if document.get("filters"):
        return "filters"
    if document["compressor"] is None:
        return ""
    name = str(document["compressor"]["id"])
    return "gzip" if name == "zlib" else name


def _format3(name: str, document: dict[str, Any]) -> Array:
    grid, encoding = document["chunk_grid"], document["chunk_key_encoding"]
    _expect(_MEMBERS3 <= set(document) <= _MEMBERS3 | _MORE)
    _expect((document["zarr_format"], document["node_type"]) == (3, "array"))
    _expect(grid["name"] == "regular" and encoding["name"] in ("default", "v2"))
    shape, piece = _shapes(document["shape"], grid["configuration"]["chunk_shape"])
    codecs, sharded = _inner_codecs(document["codecs"], piece)
    names = [codec["name"] for codec in codecs]
    little = _byte_orders(codecs) == {"little"}
    dtype = str(document["data_type"])
    digits = re.fullmatch(r"u?int(\d{1,2})", dtype)
    width = _WIDTHS.get(dtype, 0) or (max(int(digits[1]) // 8, 1) if digits else 0)
    _expect(width > 0 or dtype.startswith(_OTHER_TYPES))
    is_default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
    return Array(
        name=name,
        shape=shape,
        piece=piece,
        dtype=dtype,
        kind=_KINDS.get(dtype, "bytes") if little else "bytes",
        width=width,
        packing=_PACKINGS3.get(tuple(names), "+".join(names)),
        sharded=sharded,
        optional=True,
        between=str(separator),
        before="c" if is_default else "",
    )


def _inner_codecs(
    codecs: list[dict[str, Any]], piece: tuple[int, ...]
) -> tuple[list[dict[str, Any]], bool]:
    """Return the codecs of a piece, and whether it lies in a shard."""
    if len(codecs) != 1 or codecs[0]["name"] != "sharding_indexed":
        return codecs, False
    inner = codecs[0]["configuration"]
    _expect(set(inner) <= _CODECS["sharding_indexed"])
    _expect([codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"])
    _expect(_byte_orders(inner["index_codecs"]) == {"little"})
    _expect(inner.get("index_location", "end") == "end")
    # Orbax writes one piece into each shard; several are only known to exist.
    return (inner["codecs"] if tuple(inner["chunk_shape"]) == piece else codecs), True


def _byte_orders(codecs: list[dict[str, Any]]) -> set[object]:
    """Return the byte orders that codecs name, after checking each codec."""
    orders: set[object] = set()
    for codec in codecs:
        options = codec.get("configuration", {})
        _expect(set(codec) <= {"name", "configuration"})
        _expect(set(options) <= _CODECS[codec["name"]])
        level = options.get("level", 0)
        _expect(type(level) is int and -(1 << 17) <= level <= 22)
        _expect(isinstance(options.get("checksum", False), bool))
        orders.add(options.get("endian", "little"))
    _expect(orders <= {"little", "big"})
    return orders


def _expect(holds: bool) -> None:
    if not holds:
        raise ValueError("not what TensorStore writes")


def _shapes(shape: object, piece: object) -> tuple[tuple[int, ...], tuple[int, ...]]:
    whole, step = _sizes(shape), _sizes(piece)
    if len(whole) != len(step) or (0 in step and 0 not in whole):
        raise ValueError("pieces of another shape")
    return whole, step


def _sizes(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError("no shape")
    if not all(type(size) is int and 0 <= size < 1 << 48 for size in value):
        raise ValueError("no shape")
    return tuple(value)


def sharded_piece(index: bytes, size: int) -> tuple[int, int]:
    """
    Return offset and length of the one piece in a shard; (0, 0) if it stands for a value.

    :param index: the last 20 bytes of the shard: offset, length and CRC32C.
    :param size: of the shard, in bytes.
    """
    is_whole = len(index) == _SHARD_ENTRY + _CRC_SIZE
    if not is_whole or crc32c(index[:-4]) != int.from_bytes(index[-4:], "little"):
        raise FormatError(_CODE, "the index of a shard is damaged: its CRC32C does not match")
    offset, length = int.from_bytes(index[:8], "little"), int.from_bytes(index[8:16], "little")
    if offset == length == (1 << 64) - 1:
        return 0, 0
    if offset + length + len(index) > size:
        text = "the index of a shard reaches beyond it; it was cut or overwritten"
        raise FormatError(_CODE, text)
    return offset, length

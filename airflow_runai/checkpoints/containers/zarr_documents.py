"""
Reads the JSON documents that describe arrays of Zarr, formats 2 and 3, as TensorStore writes them.

Pieces are read without compression and with zstd or gzip, plain or in one shard of format 3; of
others it is only known that they exist.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.containers.json_documents import Document
from airflow_runai.checkpoints.containers.zarr import Array, Shape
from airflow_runai.checkpoints.storage.name_lists import NameLists, read_name_lists

#: Names of these documents, in formats 2 and 3.
METADATA = (".zarray", "zarr.json")
_CODE = "orbax-layout"
# Zarr allows any size; the product of such sizes stays a number that is quick to handle.
_SIZE_LIMIT = 1 << 48
# Size of an element, and its float layout.
_ELEMENTS = {
    "bool": (1, "bytes"),
    "bfloat16": (2, "bf16"),
    "float16": (2, "f16"),
    "float32": (4, "f32"),
    "float64": (8, "f64"),
    "complex64": (8, "f32"),
    "complex128": (16, "bytes"),
}
_OTHER_TYPES = ("float8_", "float4_", "int4", "int2", "uint4", "uint2", "r")
_TYPES = {"f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128"}
# Of zstd, whose levels go further than those of gzip.
_LEVELS = range(-(1 << 17), 23)
_COMPRESSORS = {"zstd", "zlib", "gzip", "bz2", "blosc"}
_KEY_PARTS = {"default": ("c", "/"), "v2": ("", ".")}
_PACKINGS3 = {("bytes",): "", ("bytes", "zstd"): "zstd", ("bytes", "gzip"): "gzip"}


@cache
def _lists(section: str) -> NameLists:
    return read_name_lists(Path(__file__).with_name("zarr.txt"))[section]


def read_array(name: str, data: bytes) -> Array:
    """
    Read the document that describes an array.

    :param name: of the array.
    :param data: ``.zarray`` or ``zarr.json``.
    :raises FormatError: ``orbax-layout`` if it is no such document.
    """
    subject = f"the description of array {shown(name)}"
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError(_CODE, f"{subject} is no JSON; it was cut or overwritten") from None
    try:
        layout = _format2 if document["zarr_format"] == 2 else _format3
        return layout(name, document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        text = f"{subject} lacks what Zarr writes; it was overwritten"
        raise FormatError(_CODE, text) from None


def _format2(name: str, document: Document) -> Array:
    _check_members(document, "format2")
    _expect(document["order"] in ("C", "F"))
    dtype = str(document["dtype"])
    short = dtype.lstrip("<>|=")
    # NumPy writes the size in bytes behind a letter: <f4.
    digits = re.fullmatch(r"[a-zA-Z](\d{1,3})", short)
    size = int(digits[1]) if digits else 0
    little = not dtype.startswith(">")
    width, kind = _element(_TYPES.get(short, short), size, little=little)
    shape, piece = _shapes(document["shape"], document["chunks"])
    return Array(
        name=name,
        shape=shape,
        piece=piece,
        dtype=dtype,
        kind=kind,
        width=width,
        packing=_packing2(document),
        sharded=False,
        optional=document.get("fill_value") is not None,
        between=str(document.get("dimension_separator") or "."),
        before="",
    )


def _packing2(document: Document) -> str:
    compressor = document["compressor"]
    _expect(compressor is None or compressor["id"] in _COMPRESSORS)
    if document.get("filters"):
        return "filters"
    if compressor is None:
        return ""
    name = str(compressor["id"])
    return "gzip" if name == "zlib" else name


def _element(dtype: str, size: int, *, little: bool) -> tuple[int, str]:
    """
    Return width and float layout of an element.

    :param size: its width, unless the type has a name of its own.
    """
    width, kind = _ELEMENTS.get(dtype, (size, "bytes"))
    _expect(width > 0 or dtype.startswith(_OTHER_TYPES))
    # Big-endian values are not tested; no machine that trains writes any.
    return width, kind if little else "bytes"


def _format3(name: str, document: Document) -> Array:
    _check_members(document, "format3")
    _expect((document["zarr_format"], document["node_type"]) == (3, "array"))
    grid = document["chunk_grid"]
    _expect(grid["name"] == "regular")
    shape, piece = _shapes(document["shape"], grid["configuration"]["chunk_shape"])
    codecs, sharded = _inner_codecs(document["codecs"], piece)
    names = [codec["name"] for codec in codecs]
    dtype = str(document["data_type"])
    # Types of less than a byte take a whole one.
    bits = re.fullmatch(r"u?int(\d{1,2})", dtype)
    size = max(int(bits[1]) // 8, 1) if bits else 0
    width, kind = _element(dtype, size, little=_byte_orders(codecs) == {"little"})
    before, between = _key_parts(document["chunk_key_encoding"])
    return Array(
        name=name,
        shape=shape,
        piece=piece,
        dtype=dtype,
        kind=kind,
        width=width,
        packing=_PACKINGS3.get(tuple(names), "+".join(names)),
        sharded=sharded,
        optional=True,
        between=between,
        before=before,
    )


def _key_parts(encoding: Document) -> tuple[str, str]:
    """Return the beginning of every key, and what lies between its numbers."""
    before, between = _KEY_PARTS[encoding["name"]]
    options = encoding.get("configuration", {})
    return before, str(options.get("separator", between))


def _inner_codecs(codecs: list[Document], piece: Shape) -> tuple[list[Document], bool]:
    """Return the codecs of a piece, and whether it lies in a shard."""
    if len(codecs) != 1 or codecs[0]["name"] != "sharding_indexed":
        return codecs, False
    shard = codecs[0]["configuration"]
    _check_shard(shard)
    if tuple(shard["chunk_shape"]) == piece:
        return shard["codecs"], True
    # Orbax writes one piece into each shard; several are only known to exist.
    return codecs, True


def _check_shard(shard: Document) -> None:
    codecs = shard["index_codecs"]
    _expect(set(shard) <= _lists("codecs")["sharding_indexed"])
    _expect([codec["name"] for codec in codecs] == ["bytes", "crc32c"])
    _expect(_byte_orders(codecs) == {"little"})
    _expect(shard.get("index_location", "end") == "end")


def _byte_orders(codecs: list[Document]) -> set[object]:
    """Return the byte orders that codecs name, after checking each codec."""
    orders = {_byte_order(codec) for codec in codecs}
    _expect(orders <= {"little", "big"})
    return orders


def _byte_order(codec: Document) -> object:
    options = codec.get("configuration", {})
    _expect(set(codec) <= {"name", "configuration"})
    _expect(set(options) <= _lists("codecs")[codec["name"]])
    level = options.get("level", 0)
    _expect(type(level) is int and level in _LEVELS)
    _expect(isinstance(options.get("checksum", False), bool))
    return options.get("endian", "little")


def _check_members(document: Document, layout: str) -> None:
    members = _lists("members")
    required = members[layout]
    _expect(required <= document.keys() <= required | members["optional"])


def _expect(holds: bool) -> None:
    if not holds:
        raise ValueError("not what TensorStore writes")


def _shapes(shape: object, piece: object) -> tuple[Shape, Shape]:
    whole, step = _sizes(shape), _sizes(piece)
    _expect(len(whole) == len(step))
    _expect(0 not in step or 0 in whole)
    return whole, step


def _sizes(value: object) -> Shape:
    if not isinstance(value, list):
        raise ValueError("no shape")
    _expect(all(type(size) is int and 0 <= size < _SIZE_LIMIT for size in value))
    return tuple(value)

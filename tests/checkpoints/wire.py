"""Small files of formats that are not PyTorch's, built byte by byte, so that they can lie."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence

from airflow_runai.checkpoints.storage.crc32c import crc32c


# -- protobuf
# ----------------------------------------------------------------------------------------------------------
def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return varint(field << 3 | 2) + varint(len(body)) + body


# -- ONNX
# --------------------------------------------------------------------------------------------------------------
def onnx_tensor(
    name: str = "w", shape: Sequence[int] = (2,), dtype: int = 1, *more: bytes
) -> bytes:
    """Content of a TensorProto; its data comes in ``more``."""
    dims = b"".join(number(1, size) for size in shape)
    return dims + number(2, dtype) + message(8, name.encode()) + b"".join(more)


def raw(data: bytes) -> bytes:
    return message(9, data)


def outside(**told: str | int) -> bytes:
    pairs = (
        message(13, message(1, key.encode()), message(2, str(value).encode()))
        for key, value in told.items()
    )
    return b"".join(pairs) + number(14, 1)


def onnx_model(*initializers: bytes, graph: bytes = b"") -> bytes:
    inside = graph + b"".join(message(5, tensor) for tensor in initializers)
    return number(1, 10) + message(7, inside) + message(8, number(2, 21))


# -- GGUF
# --------------------------------------------------------------------------------------------------------------
def gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf_entry(name: str, shape: Sequence[int], offset: int, kind: int = 0) -> bytes:
    return gguf_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf_file(
    entries: Sequence[bytes], data: bytes, keys: Sequence[bytes] = (), **lies: int
) -> bytes:
    """A file of version 3; the keyword arguments ``version``, ``tensors`` and ``keys_told`` tell its lies."""
    counts = (lies.get("tensors", len(entries)), lies.get("keys_told", len(keys)))
    head = (
        b"GGUF"
        + struct.pack("<IQQ", lies.get("version", 3), *counts)
        + b"".join(keys)
        + b"".join(entries)
    )
    return head + bytes(-len(head) % 32) + data


# -- TensorFlow
# --------------------------------------------------------------------------------------------------------
def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def block(entries: Sequence[tuple[bytes, bytes]], kind: bytes = b"\0") -> bytes:
    content = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in entries
    )
    body = content + struct.pack("<II", 0, 1)
    return body + kind + masked(body + kind)


def table(entries: Sequence[tuple[bytes, bytes]], kind: bytes = b"\0") -> bytes:
    """A LevelDB table of one block."""
    data, meta = block(entries, kind), block([])
    index = block([(b"\xff", varint(0) + varint(len(data) - 5))])
    begin = len(data) + len(meta)
    handles = varint(len(data)) + varint(len(meta) - 5) + varint(begin) + varint(len(index) - 5)
    return data + meta + index + handles.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def bundle_entry(
    data: bytes, shape: Sequence[int], offset: int = 0, dtype: int = 1, **lies: int
) -> bytes:
    sizes = message(2, *(message(2, number(1, size)) for size in shape))
    place = (
        number(3, lies.get("shard", 0)) + number(4, offset) + number(5, lies.get("size", len(data)))
    )
    return number(1, dtype) + sizes + place + varint(6 << 3 | 5) + masked(data)


def bundle_index(tensors: Mapping[str, bytes], shards: int = 1) -> bytes:
    header = number(1, shards) + message(3, number(1, 1))
    return table(
        [(b"", header), *((name.encode(), entry) for name, entry in sorted(tensors.items()))]
    )


# -- NumPy
# -------------------------------------------------------------------------------------------------------------
def npy(header: str, data: bytes) -> bytes:
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def npz_file(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()

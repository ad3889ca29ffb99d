"""Each hostile file is looked at in a process of its own: under 256 MiB, under 10 s of CPU, and nothing runs."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoints.bounded_check import bounded_verdict, cost_of
from tests.checkpoints.samples import (
    GOOD_DATA,
    GOOD_PICKLE,
    safetensors_file,
    torch_file,
    write,
    zip_file,
)

MIB = 1024 * 1024


def deflate_zeros(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join(parts) + packer.flush()


def bomb(name: str, size: int) -> bytes:
    """A small zip whose member unpacks to ``size`` bytes, and says so."""
    packed = deflate_zeros(size)
    members = [("a/data.pkl", GOOD_PICKLE), ("a/data/0", GOOD_DATA), (name, packed)]
    stored = zip_file(members, sizes={name: size})
    # The last member is declared as deflated, in its local header and in the directory.
    entry, local = stored.rindex(b"PK\1\2"), stored.rindex(b"PK\3\4")
    data = bytearray(stored)
    data[entry + 10] = data[local + 8] = 8
    data[local + 22 : local + 26] = struct.pack("<I", size)
    return bytes(data)


def wide_header(count: int) -> bytes:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return json.dumps({f"t{number}": entry for number in range(count)}).encode()


HOSTILE: dict[str, Callable[[], tuple[str, bytes]]] = {
    "bomb as an extra member": lambda: ("x.pt", bomb("a/extra", 256 * MIB)),
    "bomb as the byte order": lambda: ("x.pt", bomb("a/byteorder", 64 * MIB)),
    "bomb as a storage": lambda: ("x.pt", bomb("a/data/1", 256 * MIB)),
    "many lists": lambda: ("x.pt", torch_file(b"\x80\x02" + b"]\x94" * 20_000_000 + b".")),
    "many dictionaries": lambda: (
        "x.pt",
        torch_file(b"\x80\x02" + b"}\x94" * 590_000 + b"0" * 589_999 + b"."),
    ),
    "many marks": lambda: ("x.pt", torch_file(b"\x80\x02" + b"(" * 30_000_000 + b".")),
    "many distinct keys": lambda: (
        "x.pt",
        torch_file(
            b"\x80\x02}("
            + b"".join(b"J" + struct.pack("<i", n) + b"N" for n in range(590_000))
            + b"u."
        ),
    ),
    "long text with one wide character": lambda: (
        "x.pt",
        torch_file(
            b"\x80\x02X"
            + struct.pack("<I", 60 * MIB + 4)
            + "😀".encode()
            + b"a" * (60 * MIB)
            + b"."
        ),
    ),
    "deep nesting": lambda: (
        "x.pt",
        torch_file(b"\x80\x02" + b"(" * 590_000 + b"N" + b"t" * 590_000 + b"."),
    ),
    "memo index": lambda: ("x.pt", torch_file(b"\x80\x02Nr\x00\x00\x00\x10.")),
    "99 MB of header": lambda: ("x.safetensors", safetensors_file(b"{" + b" " * 98_999_999, b"")),
    "15 MB of brackets": lambda: (
        "x.safetensors",
        safetensors_file(b'{"a":[' + b"[]," * 5 * MIB + b"[]]}", b""),
    ),
    "wide header": lambda: ("x.safetensors", safetensors_file(wide_header(75_000), b"")),
    "many members": lambda: (
        "x.pt",
        zip_file(
            [("a/data.pkl", GOOD_PICKLE), *((f"a/data/{number}", b"") for number in range(65_000))]
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_little(tmp_path: Path, name: str) -> None:
    file, data = HOSTILE[name]()
    verdict = bounded_verdict(write(tmp_path / file, data))
    if name not in ("wide header", "many dictionaries"):
        assert verdict in ("invalid", "unsafe", "unknown")


@pytest.mark.slow
def test_memory_stays_flat_whatever_the_size(tmp_path: Path) -> None:
    peaks = []
    for size in (MIB, 256 * MIB):
        header = {"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
        path = tmp_path / f"{size}.safetensors"
        with path.open("wb") as file:
            file.write(safetensors_file(header, b""))
            for _ in range(size // MIB):
                file.write(b"\x00\x00\x80\x3f" * (MIB // 4))
        peaks.append(cost_of(path).peak_kib)
    assert peaks[1] - peaks[0] < 16 * 1024

"""Hostile files of formats that are not PyTorch's cost little: under 256 MiB, under 10 s of CPU, and nothing runs."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoints.bounded_check import bounded_verdict
from tests.checkpoints.samples import zip_file
from tests.checkpoints.test_hostile_limits import MIB
from tests.checkpoints.wire import (
    bundle_entry,
    gguf_entry,
    gguf_file,
    gguf_text,
    message,
    npy,
    number,
    onnx_model,
    outside,
    table,
    varint,
)


def deep_graph(levels: int) -> bytes:
    """Graphs in attributes of nodes of graphs; written from the inside, so that nothing is copied again and again."""
    sizes, total = [], 0
    for field in (6, 5, 1) * levels:
        head = varint(field << 3 | 2) + varint(total)
        sizes.append(head)
        total += len(head)
    return onnx_model(graph=b"".join(reversed(sizes)))


def index_and_data(index: bytes, data: bytes = b"") -> dict[str, bytes]:
    return {"x.index": index, "x.data-00000-of-00001": data}


def many_entries(count: int) -> bytes:
    entry = bundle_entry(b"", [0])
    return table([(b"", number(1, 1)), *((f"t{at:07d}".encode(), entry) for at in range(count))])


LONG = (
    b"{"
    + b",".join(b'"k%d":{"class_name":"x","module":"y%d"}' % (at, at) for at in range(170_000))
    + b"}"
)
HOSTILE: dict[str, Callable[[], dict[str, bytes]]] = {
    "two million texts of GGUF": lambda: {
        "x.gguf": gguf_file(
            [], b"", [gguf_text("k") + struct.pack("<IIQ", 9, 8, 2_000_000) + bytes(16_000_000)]
        )
    },
    "many tensors of GGUF": lambda: {
        "x.gguf": gguf_file([gguf_entry(f"t{at}", [0], 0) for at in range(50_000)], b"")
    },
    "deep graphs": lambda: {"x.onnx": deep_graph(100_000)},
    "two million fields": lambda: {"x.onnx": onnx_model(graph=b"\x0a\x00" * 2_000_001)},
    "many tensors of ONNX": lambda: {"x.onnx": onnx_model(graph=(b"\x2a\x02\x10\x01") * 150_000)},
    "much data outside": lambda: {
        "x.onnx": onnx_model(
            *[number(2, 1) + number(1, 0) + outside(location=f"f{at}") for at in range(20_000)]
        )
    },
    "fields of a SavedModel": lambda: {
        "saved_model.pb": message(2, message(7, message(1, b"\x3a\x00" * 1_000_001)))
    },
    "many tensors of TensorFlow": lambda: index_and_data(many_entries(100_001)),
    "a key of 20 MB": lambda: index_and_data(table([(b"", number(1, 1)), (b"k" * 20 * MIB, b"")])),
    "a million texts of TensorFlow": lambda: index_and_data(
        table(
            [(b"", number(1, 1)), (b"w", bundle_entry(b"", [1_000_000], dtype=7, size=1_000_004))]
        ),
        bytes(1_000_004),
    ),
    "many arrays": lambda: {
        "x.npz": zip_file(
            [
                (f"{at}.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", b""))
                for at in range(4_000)
            ]
        )
    },
    "a long configuration": lambda: {
        "x.keras": zip_file(
            [
                ("config.json", LONG),
                ("metadata.json", b"{}"),
                ("model.weights.h5", b"\x89HDF\r\n\x1a\n"),
            ]
        )
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_little(tmp_path: Path, name: str) -> None:
    files = HOSTILE[name]()
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    path = tmp_path if "saved_model.pb" in files else tmp_path / next(iter(files))
    verdict = bounded_verdict(path)
    assert verdict != "valid" or name == "many arrays"


@pytest.mark.slow
def test_hostile_hdf5_costs_little(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "deep.h5", "w", libver="latest") as file:
        group = file
        for _ in range(500):
            group = group.create_group("g")
        for at in range(200):
            file.create_dataset(f"d{at}", (1 << 17,), "f4", chunks=(1 << 17,), compression="gzip")
    assert bounded_verdict(tmp_path / "deep.h5") != "valid"

"""Good checkpoints and hostile ones, built byte by byte, so that no hostile file lies in the repository."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"


# -- pickles
# -----------------------------------------------------------------------------------------------------------
def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def storage(key: str, numel: int, kind: str = "FloatStorage") -> bytes:
    """Push a persistent reference to a storage."""
    name = b"ctorch\n" + kind.encode() + b"\n"
    return (
        b"("
        + text("storage")
        + name
        + text(key)
        + text("cpu")
        + b"J"
        + struct.pack("<i", numel)
        + b"tQ"
    )


def numbers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def tensor(
    key: str, numel: int, shape: Sequence[int], stride: Sequence[int], offset: int = 0
) -> bytes:
    """Push a tensor as torch.save writes it."""
    head = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(key, numel)
        + b"J"
        + struct.pack("<i", offset)
    )
    return head + numbers(shape) + numbers(stride) + b"\x89ccollections\nOrderedDict\n)RtR"


def state_dict(entries: Mapping[str, bytes]) -> bytes:
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


GOOD_PICKLE = state_dict({"weight": tensor("0", 4, (2, 2), (2, 1)), "global_step": b"K\x07"})
GOOD_DATA = struct.pack("<4f", 1.0, -2.0, 3.5, 4.0)


# -- zip
# ---------------------------------------------------------------------------------------------------------------
def zip_file(
    members: Sequence[tuple[str, bytes]],
    *,
    local_names: Mapping[str, str] | None = None,
    crcs: Mapping[str, int] | None = None,
    sizes: Mapping[str, int] | None = None,
    deflated: bool = False,
    flags: int = 0x0800,
) -> bytes:
    """A zip file; the keyword arguments tell its lies."""
    body, directory = bytearray(), bytearray()
    for name, content in members:
        packed = _deflate(content) if deflated else content
        crc = (crcs or {}).get(name, zlib.crc32(content))
        size = (sizes or {}).get(name, len(content))
        agreed = struct.pack("<HHHH", flags, 8 if deflated else 0, 0, 0)
        local, raw = (local_names or {}).get(name, name).encode(), name.encode()
        directory += (
            struct.pack(
                "<4sHH8sIIIHHHHHII",
                b"PK\1\2",
                20,
                20,
                agreed,
                crc,
                len(packed),
                size,
                len(raw),
                0,
                0,
                0,
                0,
                0,
                len(body),
            )
            + raw
        )
        body += (
            struct.pack("<4sH8sIIIHH", b"PK\3\4", 20, agreed, crc, len(packed), size, len(local), 0)
            + local
            + packed
        )
    return bytes(body + directory) + end_record(len(members), len(directory), len(body))


def end_record(count: int, size: int, offset: int) -> bytes:
    return struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, size, offset, 0)


def _deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def torch_file(pickle: bytes = GOOD_PICKLE, data: bytes = GOOD_DATA, **lies: Any) -> bytes:
    """A file like torch.save's with one storage."""
    members = [
        ("a/data.pkl", pickle),
        ("a/byteorder", b"little"),
        ("a/data/0", data),
        ("a/version", b"3\n"),
    ]
    return zip_file(members, **lies)


# -- safetensors
# -------------------------------------------------------------------------------------------------------
def safetensors_file(
    header: Mapping[str, Any] | bytes | None = None, data: bytes = GOOD_DATA
) -> bytes:
    if header is None:
        header = {"weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


# -- published directories
# ---------------------------------------------------------------------------------------------
def manifest_text(content: Mapping[str, bytes], **changes: Any) -> str:
    """The manifest as the training side writes it; computed here independently of the reader."""
    manifest: dict[str, Any] = {
        "schema": "runai-checkpoint/1",
        "step": 42,
        "epoch": None,
        "world_size": 1,
        "framework": "numpy",
        "created_at": 1700000000.25,
        "workload": {"name": "wörk", "uuid": None, "node": None},
        "save_seconds": 0.12,
        "previous_step": None,
        "metrics": {"loss": 0.5},
        "files": [
            {"path": k, "size": len(v), "crc32": f"{zlib.crc32(v):08x}"} for k, v in content.items()
        ],
        "complete": True,
    } | changes
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    manifest.setdefault("crc32", f"{zlib.crc32(canonical.encode()):08x}")
    return json.dumps(manifest, indent=1)


def publish(
    root: Path, step: int = 42, content: Mapping[str, bytes] | None = None, **changes: Any
) -> Path:
    """Write ``step-%08d`` under ``root``; ``changes`` are lies of the manifest."""
    content = {"model.safetensors": safetensors_file()} if content is None else content
    folder = root / f"step-{step:08d}"
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(manifest_text(content, **{"step": step, **changes}))
    return folder


def write(path: Path, data: bytes, *, mtime: float | None = None) -> Path:
    path.write_bytes(data)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


# -- all formats
# -------------------------------------------------------------------------------------------------------
#: Good checkpoints by the name of their format, below ``GOLDEN``.
SAMPLES: dict[str, tuple[str, ...]] = {
    "tensorflow": ("other/tensorflow", "other/tensorflow/ckpt-12.index", "other/two-shards"),
    "saved-model": ("other/saved_model",),
    "keras": ("other/model.keras",),
    "hdf5": (
        "other/checked.h5",
        "other/old-checked.h5",
        "other/plain.h5",
        "other/model.h5",
        "other/model.weights.h5",
    ),
    "orbax": ("other/orbax/7",),
    "npz": ("other/state.npz", "other/packed.npz"),
    "gguf": ("other/model.gguf",),
    "onnx": ("other/model.onnx", "other/onnx-outside"),
}

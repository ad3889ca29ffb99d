"""
A small training that leaves a checkpoint at every step: what moves, moves; what is frozen, stays.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.checkpoints.samples import safetensors_file, state_dict, tensor, write, zip_file

#: Shapes of its weights; ``frozen`` never moves.
SHAPES = {"first": (2, 3), "second": (2, 3), "bias": (4,), "frozen": (3, 2)}


def weights(step: int) -> dict[str, list[float]]:
    """The numbers of every weight after a step."""
    moving = {"first": 0.25, "second": -1.5, "bias": 0.5}
    found = {
        name: [start + 0.125 * step + index for index in range(_count(name))]
        for name, start in moving.items()
    }
    return {**found, "frozen": [7.0 + index for index in range(6)]}


def _count(name: str) -> int:
    count = 1
    for size in SHAPES[name]:
        count *= size
    return count


def torch_state(
    values: Mapping[str, list[float]], step: int, *, byteorder: str = "little", kind: str = "f"
) -> bytes:
    """
    A file as torch.save writes it; ``kind`` is ``f`` for 32-bit numbers, ``e`` for 16-bit ones.
    """
    storage = {"f": "FloatStorage", "e": "HalfStorage"}[kind]
    order = ">" if byteorder == "big" else "<"
    pickled, members = {}, []
    for key, (name, numbers) in enumerate(values.items()):
        shape = SHAPES.get(name, (len(numbers),))
        stride = (shape[1], 1) if len(shape) == 2 else (1,)
        code = tensor(str(key), len(numbers), shape, stride)
        pickled[name] = code.replace(b"FloatStorage", storage.encode())
        members.append((f"a/data/{key}", struct.pack(f"{order}{len(numbers)}{kind}", *numbers)))
    pickled["global_step"] = b"J" + struct.pack("<i", step)
    head = [("a/data.pkl", state_dict(pickled)), ("a/byteorder", byteorder.encode())]
    return zip_file([*head, *members, ("a/version", b"3\n")])


def safetensors_state(values: Mapping[str, list[float]], *, dtype: str = "F32") -> bytes:
    """A safetensors file of the same."""
    header: dict[str, object] = {}
    data = b""
    for name, numbers in values.items():
        raw = struct.pack(f"<{len(numbers)}{'e' if dtype == 'F16' else 'f'}", *numbers)
        shape = list(SHAPES.get(name, (len(numbers),)))
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return safetensors_file(header, data)


SHARDS = {"model-00001-of-00002": ("first", "bias"), "model-00002-of-00002": ("second", "frozen")}


def sharded(folder: Path, step: int, *, suffix: str = ".bin") -> Path:
    """A sharded model in a directory named after its step."""
    folder = folder / f"step-{step}"
    folder.mkdir(parents=True)
    values = weights(step)
    for shard, names in SHARDS.items():
        held = {name: values[name] for name in names}
        content = torch_state(held, step) if suffix == ".bin" else safetensors_state(held)
        write(folder / f"{shard}{suffix}", content)
    stem = "pytorch_model" if suffix == ".bin" else "model"
    places = {name: f"{shard}{suffix}" for shard, names in SHARDS.items() for name in names}
    index = json.dumps({"metadata": {}, "weight_map": places})
    write(folder / f"{stem}{suffix}.index.json", index.encode())
    return folder

"""
Random damages to what real libraries wrote, judged here and loaded by the libraries themselves.

``python -m tests.checkpoints.random_damages`` prints the table of docs/checkpoints.md. The same
seed damages the same bytes for ever. A whole stale file is not among the damages: nobody can tell
it by one look.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_runai.checkpoints import Verdict, check
from tests.checkpoints.samples import GOLDEN

EACH = 30
_PAGE = 512
KINDS = (
    "flip",
    "two flips",
    "cut",
    "zero page",
    "swapped blocks",
    "garbage behind",
    "zero tail",
    "missing",
)


def _digest(value: Any) -> str:
    """Content of whatever a library loaded; equal content has an equal digest."""
    import numpy as np
    import torch

    sum_ = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            part = (
                part.detach().contiguous().view(torch.uint8).numpy() if part.dim() else part.item()
            )
        if isinstance(part, np.ndarray):
            sum_.update(repr((part.dtype, part.shape)).encode() + part.tobytes())
        elif isinstance(part, dict):
            for key, item in part.items():
                sum_.update(repr(key).encode())
                add(item)
        elif isinstance(part, list | tuple):
            sum_.update(str(len(part)).encode())
            for item in part:
                add(item)
        else:
            sum_.update(repr(part).encode())

    add(value)
    return sum_.hexdigest()


def _torch(path: Path) -> Any:
    import torch

    return torch.load(path, weights_only=False)


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _npz(path: Path) -> Any:
    import numpy as np

    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays}


def _distributed(path: Path) -> Any:
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with tempfile.TemporaryDirectory() as folder:
        dcp_to_torch_save(path, f"{folder}/x.pt")
        return _torch(Path(folder) / "x.pt")


def _gguf(path: Path) -> Any:
    import gguf

    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}


def _files(*patterns: str) -> Callable[[Path], Any]:
    def load(folder: Path) -> Any:
        found = {}
        for pattern in patterns:
            names = sorted(folder.rglob(pattern))
            if not names:
                raise FileNotFoundError(pattern)
            for name in names:
                found[name.name] = (
                    _safetensors(name) if name.suffix == ".safetensors" else _torch(name)
                )
        return found

    return load


#: Base: path and what loads it.
BASES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "torch zip": ("state.pt", _torch),
    "Lightning": ("epoch=0-step=4.ckpt", _torch),
    "torch legacy": ("legacy.pt", _torch),
    "safetensors": ("model.safetensors", _safetensors),
    "sharded safetensors": ("sharded", _files("*.safetensors")),
    "Trainer": ("checkpoint-4", _files("model.safetensors", "optimizer.pt", "scheduler.pt")),
    "DCP": ("dcp-step-4", _distributed),
    "npz": ("other/state.npz", _npz),
    "npz, compressed": ("other/packed.npz", _npz),
    "GGUF": ("other/model.gguf", _gguf),
}


@dataclass
class Row:
    """
    What became of the damages of one base; ``wrong`` names each that was called valid and differs.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def damage(path: Path, chance: random.Random) -> str:
    """FormatError one file of a checkpoint, and say how and where."""
    files = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
    torn = chance.choice([part for part in files if part.stat().st_size])
    kind = chance.choice(KINDS if path.is_dir() else KINDS[:-1])
    if kind == "missing":
        torn.unlink()
    else:
        torn.write_bytes(_damaged(bytearray(torn.read_bytes()), kind, chance))
    return f"{kind} in {torn.name}"


def _damaged(data: bytearray, kind: str, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    if "flip" in kind:
        for _ in range(2 if "two" in kind else 1):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "zero page":
        at -= at % _PAGE
        data[at : at + _PAGE] = bytes(len(data[at : at + _PAGE]))
    elif kind == "swapped blocks":
        half = max(len(data) // 4, 1)
        data[: 2 * half] = data[half : 2 * half] + data[:half]
    elif kind == "garbage behind":
        data += chance.randbytes(40)
    else:
        data[at:] = bytes(len(data) - at)
    return bytes(data)


def judged(base: str, count: int = EACH) -> Row:
    """FormatError one base so many times; each damage is judged and loaded."""
    name, load = BASES[base]
    good, chance, row = _digest(load(GOLDEN / name)), random.Random(base), Row()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(count):
            path = Path(folder) / Path(name).name
            shutil.copytree(GOLDEN / name, path) if (GOLDEN / name).is_dir() else shutil.copy(
                GOLDEN / name, path
            )
            where = damage(path, chance)
            verdict = check(path).verdict
            row.counts[_outcome(verdict, path, load, good)] += 1
            if row.counts["valid, differs"] > len(row.wrong):
                row.wrong.append(where)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return row


def _outcome(verdict: Verdict, path: Path, load: Callable[[Path], Any], good: str) -> str:
    try:
        loaded = "equal" if _digest(load(path)) == good else "differs"
    except BaseException:  # some libraries panic
        loaded = "fails"
    if verdict in (Verdict.VALID, Verdict.UNVERIFIABLE):
        return f"{verdict}, {loaded}"
    return "refused, equal" if loaded == "equal" else "refused"


_HEAD = (
    "written by",
    "damages",
    "refused",
    "… though equal",
    "accepted, equal",
    "`valid`, differs",
    "`valid`, fails",
)
_MORE = ("`unverifiable`, differs", "`unverifiable`, fails")


def table(rows: dict[str, Row]) -> str:
    """Render the table of the documentation."""
    lines = [
        "| " + " | ".join((*_HEAD, *_MORE)) + " |",
        "| " + " | ".join("---" for _ in (*_HEAD, *_MORE)) + " |",
    ]
    for base, row in rows.items():
        seen = row.counts
        equal = seen["valid, equal"] + seen["unverifiable, equal"]
        cells = (
            seen["refused"] + seen["refused, equal"],
            seen["refused, equal"],
            equal,
            seen["valid, differs"],
        )
        rest = (seen["valid, fails"], seen["unverifiable, differs"], seen["unverifiable, fails"])
        lines.append("| " + " | ".join(map(str, (base, seen.total(), *cells, *rest))) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table({base: judged(base) for base in BASES}))
    sys.exit(0)

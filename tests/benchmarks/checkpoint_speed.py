"""
How long checking a checkpoint takes, in units of ``cat`` on the same hot file in the same round.

``python -m tests.benchmarks.checkpoint_speed`` prints the table of docs/checkpoints.md. It is
measured in a process of its own. Absolute times mean nothing on a shared machine; ratios of the
same round do.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.checkpoints.samples import safetensors_file, state_dict, tensor

MIB = 1024 * 1024
ROUNDS = 5
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Row:
    """One line of the table: a file, what is done with it, and the bound on the ratio."""

    file: str
    what: str
    bound: float


ROWS = (Row("model.pt", "CRC and finite", 2.0), Row("model.safetensors", "CRC and finite", 2.0))

# In the child: nothing of Airflow; a round is one cat and one check of each file.
_CHILD = """
import json, subprocess, sys, time
rounds, *paths = json.loads(sys.argv[1])
from pathlib import Path
from airflow_runai.checkpoints import check

def timed(work):
    begin, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - processor

def resident(field):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0])

check(Path(paths[0]), level=1)
before = resident("VmRSS")
found = {path: [] for path in paths}
for _ in range(rounds + 1):
    for path in paths:
        cat, _ = timed(lambda: subprocess.run(["cat", path], stdout=subprocess.DEVNULL, check=True))
        found[path].append((cat, *timed(lambda: check(Path(path)))))
print(json.dumps([list(found.values()), resident("VmHWM") - before]))
"""
# One thread, and processor time: how many cores are free must not decide how fast torch is.
_TORCH = """
import sys, time, torch
torch.set_num_threads(1)
begin = time.process_time()
loaded = torch.load(sys.argv[1], weights_only=True)
assert all(torch.isfinite(value).all() for value in loaded.values())
print(time.process_time() - begin)
"""


@dataclass(frozen=True)
class Measured:
    """
    What came out of one process.

    ``rounds`` holds, per file and round, the seconds of ``cat``, the seconds of the check, and the
    processor seconds of the check. ``growth`` is memory, in KiB.
    """

    rounds: list[list[tuple[float, float, float]]]
    growth: int

    def ratio(self, file: int) -> float:
        """Median of the ratios of the rounds; the first one only warms up."""
        return statistics.median(check / cat for cat, check, _ in self.rounds[file][1:])

    def processor_seconds(self, file: int) -> float:
        """Median of the checks, in seconds of processor time."""
        return statistics.median(processor for _, _, processor in self.rounds[file][1:])


def measure(paths: Sequence[Path], rounds: int = ROUNDS) -> Measured:
    """Check files in a process of its own."""
    argument = json.dumps([rounds, *map(str, paths)])
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, argument],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    per_file, growth = json.loads(done.stdout)
    return Measured([[tuple(each) for each in rounds] for rounds in per_file], growth)


def torch_seconds(path: Path) -> float:
    """Processor seconds of ``torch.load`` and ``isfinite`` on everything, without the import."""
    done = subprocess.run(
        [sys.executable, "-c", _TORCH, str(path)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@contextmanager
def hot_folder() -> Iterator[Path]:
    """
    Make a folder in memory where there is one with room; a page cache that is warm does as well.
    """
    memory = Path("/dev/shm")
    roomy = (
        memory.is_dir() and os.statvfs(memory).f_bavail * os.statvfs(memory).f_frsize > 4096 * MIB
    )
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as folder:
        yield Path(folder)


def write_files(folder: Path) -> list[Path]:
    """Write 1 GiB as ``torch.save`` would and 1 GiB of safetensors: 24 float32 and 16 bfloat16 matrices."""
    single, half = _floats(32 * MIB), _floats(16 * MIB)
    return [
        _write_torch(folder / "model.pt", single, half),
        _write_safetensors(folder / "model.safetensors", single, half),
    ]


def _floats(size: int) -> bytes:
    """Numbers around 1 with any mantissa, the same as float32 and as bfloat16."""
    data = bytearray(b"\x3f" * size)
    data[::2] = random.Random(size).randbytes(size // 2)
    return bytes(data)


def _write_torch(path: Path, single: bytes, half: bytes) -> Path:
    kinds = [("FloatStorage", 4, single)] * 24 + [("BFloat16Storage", 2, half)] * 16
    entries = {}
    for key, (kind, width, data) in enumerate(kinds):
        shape = (len(data) // width // 1024, 1024)
        text = tensor(str(key), len(data) // width, shape, (1024, 1))
        entries[f"layer.{key}"] = text.replace(b"FloatStorage", kind.encode())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", state_dict(entries))
        archive.writestr("a/byteorder", b"little")
        for key, (_, _, data) in enumerate(kinds):
            archive.writestr(_aligned(archive, f"a/data/{key}"), data)
        archive.writestr("a/version", b"3\n")
    return path


def _aligned(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Let the content begin at a multiple of 64, as torch.save does."""
    info = zipfile.ZipInfo(name)
    assert archive.fp is not None
    room = -(archive.fp.tell() + 30 + len(name) + 4) % 64
    info.extra = struct.pack("<2sH", b"FB", room) + b"Z" * room
    return info


def _write_safetensors(path: Path, single: bytes, half: bytes) -> Path:
    header, at = {}, 0
    parts = [("F32", 4, single)] * 24 + [("BF16", 2, half)] * 16
    for number, (dtype, width, data) in enumerate(parts):
        header[f"layer.{number}"] = {
            "dtype": dtype,
            "shape": [len(data) // width],
            "data_offsets": [at, at + len(data)],
        }
        at += len(data)
    with path.open("wb") as file:
        text = json.dumps(header)
        file.write(safetensors_file((text + " " * (-len(text) % 8)).encode(), b""))
        for _, _, data in parts:
            file.write(data)
    return path


def sparse_file(path: Path, size: int) -> Path:
    """Write a safetensors file of one huge tensor that takes no room: all of it is a hole."""
    header = {"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    content = safetensors_file(header, b"")
    with path.open("wb") as file:
        file.write(content)
        file.truncate(len(content) + size)
    return path


def table(ratios: Sequence[float]) -> str:
    """Render the table of the documentation."""
    lines = ["| file of 1 GiB | one pass | times `cat` | at most |", "| --- | --- | --- | --- |"]
    for row, ratio in zip(ROWS, ratios, strict=True):
        lines.append(f"| `{row.file}` | {row.what} | {ratio:.1f} | {row.bound} |")
    return "\n".join(lines)


def measured_ratios(paths: Sequence[Path], rounds: int = ROUNDS) -> tuple[list[float], int]:
    """Measure the ratio of every row, and the largest growth of memory in KiB."""
    names = [path.name for path in paths]
    found = measure(paths, rounds)
    return [found.ratio(names.index(row.file)) for row in ROWS], found.growth


def main() -> None:
    """Print the table."""
    begin = time.monotonic()
    with hot_folder() as folder:
        ratios, growth = measured_ratios(write_files(folder))
    print(table(ratios))
    print(
        f"memory grew by {growth / 1024:.1f} MiB; {time.monotonic() - begin:.0f} s", file=sys.stderr
    )


if __name__ == "__main__":
    main()

"""
Every format that is registered, fed with damaged files of its own: whatever comes of it is a finding.

Good samples are cut, flipped, overwritten with extreme numbers, lengthened, swapped and emptied;
hypothesis chooses, so that a failure shrinks to the smallest damage (and is the same each time
where ``CI`` is set). The time is shared among the formats, and what was tried is printed.
"""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_runai.checkpoints import Report, check
from airflow_runai.checkpoints.formats import FORMATS
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOLDEN, SAMPLES, publish, safetensors_file, torch_file, write

pytestmark = pytest.mark.slow
#: Seconds of processor time for all formats; a minute finds what the first seconds do not.
SECONDS = [pytest.param(6.0, id="soon"), pytest.param(60.0, id="long", marks=pytest.mark.qualify)]
NAMES = [form.name for form in FORMATS]

KNOWN: dict[str, tuple[str, ...]] = {
    **SAMPLES,
    "torch-zip": ("state.pt", "deflated.pt", "types.pt"),
    "torch-legacy": ("legacy.pt",),
    "lightning": ("epoch=0-step=4.ckpt", "lightning-legacy.ckpt"),
    "torch-dcp": ("dcp-step-4", "dcp-safetensors"),
    "deepspeed": ("deepspeed/global_step4", "deepspeed"),
    "megatron": ("megatron/iter_0000004",),
    "huggingface-trainer": ("checkpoint-4",),
    "sharded": ("sharded",),
    "safetensors": ("model.safetensors",),
}


def a_directory(folder: Path) -> Path:
    (folder / "run").mkdir()
    write(folder / "run" / "model.pt", torch_file())
    return write(folder / "run" / "extra.safetensors", safetensors_file()).parent


def a_full_fsdp_save(folder: Path) -> Path:
    (folder / "step-7").mkdir()
    return write(folder / "step-7" / "pytorch_model_fsdp.bin", torch_file()).parent


BUILT: dict[str, Callable[[Path], Path]] = {
    "published": lambda folder: publish(folder, 42),
    "directory": a_directory,
    "pickle": lambda folder: write(
        folder / "x.pkl", pickle.dumps({"a": [1, 2.5, None, "text"], "b": (True, b"x")}, 4)
    ),
    "fsdp": a_full_fsdp_save,
}


def samples(name: str, folder: Path) -> list[Path]:
    """Copies of the good samples of a format that may be damaged."""
    if name in BUILT:
        return [BUILT[name](folder)]
    copies = []
    for number, known in enumerate(KNOWN[name]):
        original, copy = GOLDEN / known, folder / str(number) / Path(known).name
        copy.parent.mkdir()
        if original.is_dir():
            shutil.copytree(original, copy)
        elif original.suffix == ".index":  # what lies beside a TensorFlow index belongs to it
            shutil.copytree(original.parent, copy.parent, dirs_exist_ok=True)
        else:
            shutil.copy(original, copy)
        copies.append(copy)
    return copies


EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**62, 2**63 - 1, 2**64 - 1]


class FormatError(NamedTuple):
    """What is done to a file; places are shares of its length, so that it fits a file of any."""

    kind: str
    place: float
    other: float
    size: int
    value: int
    layout: str
    content: bytes


def _number(data: bytes, at: int, damage: FormatError) -> bytes:
    size = struct.calcsize(damage.layout)
    return (
        data[:at]
        + struct.pack(damage.layout, damage.value & ((1 << 8 * size) - 1))
        + data[at + size :]
    )


def _bit(data: bytes, at: int, damage: FormatError) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << damage.size % 8]) + data[at + 1 :] if data else data


def _again(data: bytes, at: int, damage: FormatError) -> bytes:
    """A part of the file again, somewhere else."""
    begin = int(damage.other * len(data))
    return data[:at] + data[begin : begin + damage.size] + data[at:]


KINDS: dict[str, Callable[[bytes, int, FormatError], bytes]] = {
    "bit": _bit,
    "number": _number,
    "inserted": lambda data, at, damage: data[:at] + damage.content + data[at:],
    "overwritten": lambda data, at, damage: (
        data[:at] + damage.content + data[at + len(damage.content) :]
    ),
    "again": _again,
    "hole": lambda data, at, damage: (
        data[:at] + bytes(len(data[at : at + damage.size])) + data[at + damage.size :]
    ),
    "lost": lambda data, at, damage: data[:at] + data[at + damage.size :],
    "cut": lambda data, at, damage: data[:at],
}
SHARES = st.floats(0, 1, exclude_max=True)
DAMAGE = st.builds(
    FormatError,
    kind=st.sampled_from(list(KINDS)),
    place=SHARES,
    other=SHARES,
    size=st.integers(1, 80),
    value=st.sampled_from(EXTREMES),
    layout=st.sampled_from(["<B", "<H", "<I", "<Q", ">Q"]),
    content=st.binary(max_size=12),
)


def damaged(data: bytes, damages: list[FormatError]) -> bytes:
    for damage in damages:
        data = KINDS[damage.kind](data, int(damage.place * len(data)), damage)
    return data


def test_every_format_has_a_sample() -> None:
    assert set(NAMES) == set(KNOWN) | set(BUILT)


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_done_to_a_file_is_a_finding(
    tmp_path: Path, name: str, seconds: float, record_property: Callable[[str, object], None]
) -> None:
    good = samples(name, tmp_path)
    files = [(path, file) for path in good for file in _files(path)]
    originals = {file: file.read_bytes() for _, file in files}
    deadline = time.process_time() + seconds / len(NAMES)
    verdicts: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    failed: list[str] = []

    @given(st.sampled_from(files), st.lists(DAMAGE, min_size=1, max_size=3))
    @settings(
        max_examples=int(15 * seconds),
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    def fuzz(chosen: tuple[Path, Path], damages: list[FormatError]) -> None:
        path, file = chosen
        if time.process_time() > deadline and not failed:
            return
        try:
            file.write_bytes(damaged(originals[file], damages))
            report = check(path)
        finally:
            file.write_bytes(originals[file])
        failed.extend(_defects(report))
        assert not _defects(report)
        verdicts[report.verdict.value] += 1
        codes.update(code_set(report))

    fuzz()
    record_property(
        "statistics",
        f"{name}: {sum(verdicts.values())} damaged, {dict(verdicts)}, {len(codes)} codes",
    )
    assert sum(verdicts.values()) > 0


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _defects(report: Report) -> list[str]:
    json.dumps([report.to_json(), report.ledger.to_json()])
    return [finding.message for finding in report.findings if finding.code == "reader-defect"]


def test_a_number_in_blocks_is_a_finding(tmp_path: Path) -> None:
    """
    What a long run of this found: a GGUF tensor without dimensions, of a type that comes in blocks.
    """
    data = (GOLDEN / "other" / "model.gguf").read_bytes()
    report = check(write(tmp_path / "model.gguf", data[:342] + bytes(16) + data[358:]))
    assert _defects(report) == []
    assert not report.accepted()

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Report, Verdict, check
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOOD_DATA, safetensors_file, write


def looked_at(tmp_path: Path, data: bytes, **options: Any) -> Report:
    return check(write(tmp_path / "model.safetensors", data), **options)


def entry(**changes: Any) -> dict[str, Any]:
    return {"weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes}


def test_a_good_file_is_unverifiable_because_nothing_proves_its_bytes(tmp_path: Path) -> None:
    report = looked_at(tmp_path, safetensors_file())
    assert (report.verdict, report.tensors) == (Verdict.UNVERIFIABLE, 1)
    assert report.accepted(accept_unverifiable=True)
    assert not report.accepted()


def test_it_is_recognised_by_content_under_any_name(tmp_path: Path) -> None:
    assert check(write(tmp_path / "weights", safetensors_file())).format == "safetensors"


TWICE = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"I32","shape":[4],"data_offsets":[0,16]}}'
TWO = {
    "a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]},
    "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
}
DAMAGED: dict[str, bytes] = {
    "cut by one byte": safetensors_file()[:-1],
    "one byte too many": safetensors_file() + b"\0",
    "cut inside the header": safetensors_file()[:40],
    "cut inside the length": safetensors_file()[:5],
    "zeroed": bytes(100),
    "header of 2^62 bytes": struct.pack("<Q", 1 << 62) + b"{}",
    "header of 99 MB that is not there": struct.pack("<Q", 99_000_000) + b"{}" + bytes(100),
    "not JSON": safetensors_file(b"{'weight': 1}      "),
    "not an object": safetensors_file(b"[]"),
    "deeply nested": safetensors_file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "number of a million digits": safetensors_file(b'{"a":' + b"9" * 1_000_000 + b"}"),
    "duplicate key": safetensors_file(TWICE),
    "overlap": safetensors_file(TWO),
    "gap": safetensors_file(entry(data_offsets=[4, 20])),
    "negative dimension": safetensors_file(entry(shape=[-2, -2])),
    "fractional dimension": safetensors_file(entry(shape=[2.0, 2])),
    "true as dimension": safetensors_file(entry(shape=[True, 4])),
    "huge dimensions": safetensors_file(entry(shape=[1 << 62] * 40)),
    "shape of another size": safetensors_file(entry(shape=[2, 3])),
    "unknown dtype": safetensors_file(entry(dtype="F31")),
    "dtype that is no text": safetensors_file(entry(dtype=[1])),
    "extra field": safetensors_file(entry(code="x")),
    "three offsets": safetensors_file(entry(data_offsets=[0, 8, 16])),
    "metadata that is no text": safetensors_file({**entry(), "__metadata__": {"a": 1}}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_invalid(tmp_path: Path, name: str) -> None:
    report = looked_at(tmp_path, DAMAGED[name], level=1)
    assert report.verdict is Verdict.INVALID
    assert report.findings[0].code == "safetensors-header"


def test_an_empty_file_is_named_as_such(tmp_path: Path) -> None:
    assert [finding.code for finding in looked_at(tmp_path, b"").findings] == ["empty-file"]


def test_space_behind_the_header_and_no_tensors_are_allowed(tmp_path: Path) -> None:
    padded = json.dumps(entry()).encode() + b"   "
    assert looked_at(tmp_path, safetensors_file(padded)).verdict is Verdict.UNVERIFIABLE
    assert looked_at(tmp_path, safetensors_file(b"{}", b"")).verdict is Verdict.UNVERIFIABLE


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        ("F64", struct.pack("<2d", 1.0, math.nan)),
        ("F32", struct.pack("<4f", 1.0, 2.0, math.inf, 0.5)),
        ("C64", struct.pack("<4f", 1.0, 2.0, math.inf, 0.5)),
        ("F16", struct.pack("<8e", 1.0, 2.0, math.inf, *[0.5] * 5)),
        ("BF16", b"\x80\x3f" * 7 + b"\x80\x7f"),
        ("F8_E5M2", b"\x3c" * 15 + b"\x7d"),
        ("F8_E4M3", b"\x38" * 15 + b"\xff"),
    ],
)
def test_a_non_finite_weight_of_any_type_poisons(tmp_path: Path, dtype: str, data: bytes) -> None:
    sizes = {"F64": 2, "F32": 4, "C64": 2, "F16": 8, "BF16": 8}
    header = entry(dtype=dtype, shape=[sizes.get(dtype, 16)])
    assert looked_at(tmp_path, safetensors_file(header, data)).verdict is Verdict.POISONED


def test_whole_numbers_are_never_non_finite(tmp_path: Path) -> None:
    header = entry(dtype="I32", shape=[4])
    assert (
        looked_at(tmp_path, safetensors_file(header, b"\xff" * 16)).verdict is Verdict.UNVERIFIABLE
    )


def test_a_tail_of_zeros_is_pointed_out(tmp_path: Path) -> None:
    data = struct.pack("<f", 1.0) * 2048 + bytes(8192)
    header = entry(shape=[4096], data_offsets=[0, 16384])
    assert "zero-tail" in {
        finding.code for finding in looked_at(tmp_path, safetensors_file(header, data)).findings
    }


def test_good_data_has_no_warning(tmp_path: Path) -> None:
    codes = [
        finding.code for finding in looked_at(tmp_path, safetensors_file(data=GOOD_DATA)).findings
    ]
    assert codes == ["safetensors-no-checksum"]


def network(zero_from: float = 1.0, **zeros: bool) -> bytes:
    """Ten trained matrices of 8 KiB; ``zero_from`` of the bytes on are lost, and those in ``zeros`` were zero."""
    header, data = {}, b""
    for number in range(10):
        name = f"layers.{number}.weight"
        values = (
            bytes(8192) if zeros.get(f"layer{number}") else struct.pack("<2048f", *range(1, 2049))
        )
        header[name] = {
            "dtype": "F32",
            "shape": [32, 64],
            "data_offsets": [len(data), len(data) + 8192],
        }
        data += values
    kept = int(len(data) * zero_from)
    return safetensors_file(header, data[:kept] + bytes(len(data) - kept))


@pytest.mark.parametrize("kept", [0.05, 0.33, 0.55, 0.67, 0.87])
def test_a_file_that_is_zero_from_the_middle_on_is_refused(tmp_path: Path, kept: float) -> None:
    report = looked_at(tmp_path, network(kept))
    assert (report.verdict, "zero-rest" in code_set(report)) == (
        Verdict.INVALID,
        True,
    )


def test_what_is_zero_by_itself_at_the_end_is_only_warned_of(tmp_path: Path) -> None:
    report = looked_at(tmp_path, network(layer8=True, layer9=True))
    assert report.verdict is Verdict.UNVERIFIABLE
    assert {"zero-tail", "all-zero"} <= code_set(report)
    lost = looked_at(tmp_path, network(0.95))
    assert (lost.verdict, "zero-tail" in {finding.code for finding in lost.findings}) == (
        Verdict.UNVERIFIABLE,
        True,
    )

from __future__ import annotations

import math
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.checkpoints.crc import combine, combine_slowly, crc32
from airflow_runai.checkpoints.lanes import KINDS, ByteOrder, ContentTest, trips_integers, trips_numpy
from tests.checkpoints.samples import GOLDEN


def _bfloat16(pattern: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", pattern << 16))[0])


def _float16(pattern: int) -> float:
    return float(struct.unpack("<e", struct.pack("<H", pattern))[0])


def _e5m2(pattern: int) -> float:
    return _float16(pattern << 8)


def _e4m3fn(pattern: int) -> float:
    return math.nan if pattern & 0x7F == 0x7F else 1.0


@pytest.mark.parametrize(
    ("kind", "value"), [("bf16", _bfloat16), ("f16", _float16), ("e5m2", _e5m2), ("e4m3fn", _e4m3fn)]
)
def test_every_pattern_of_the_short_floats_is_judged_exactly(kind: str, value: object) -> None:
    assert callable(value)
    lane = KINDS[kind]
    for pattern in range(1 << (8 * lane.width)):
        raw = memoryview(pattern.to_bytes(lane.width, "little"))
        expected = (not math.isfinite(value(pattern)), pattern == 0)
        assert trips_integers(raw, lane, "little") == expected, hex(pattern)
        assert trips_numpy(raw, lane, "little") == expected, hex(pattern)


@pytest.mark.parametrize(("kind", "layout"), [("f32", "f"), ("f64", "d")])
@pytest.mark.parametrize("byteorder", ["little", "big"])
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_both_ways_agree_with_python_on_long_floats(
    kind: str, layout: str, byteorder: ByteOrder, values: list[float]
) -> None:
    order = "<" if byteorder == "little" else ">"
    raw = memoryview(struct.pack(f"{order}{len(values)}{layout}", *values))
    bad = not all(map(math.isfinite, values))
    zero = not any(raw)
    assert trips_integers(raw, KINDS[kind], byteorder) == (bad, zero)
    assert trips_numpy(raw, KINDS[kind], byteorder) == (bad, zero)


def test_a_mask_of_zeros_and_minus_infinity_is_told_from_broken_weights() -> None:
    mask, weights = ContentTest("f32"), ContentTest("f32")
    mask.feed(memoryview(struct.pack("<4f", 0.0, -math.inf, 0.0, -math.inf)))
    mask.feed(memoryview(bytes(16)))
    weights.feed(memoryview(struct.pack("<2f", 0.5, 1.0)))
    weights.feed(memoryview(struct.pack("<2f", -math.inf, 0.0)))
    assert (mask.non_finite, mask.mask_like) == (True, True)
    assert (weights.non_finite, weights.mask_like) == (True, False)


@pytest.mark.parametrize("joined", [combine, combine_slowly])
@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_joined_sums_are_the_sum_of_the_joined_bytes(
    joined: Callable[[int, int, int], int], first: bytes, second: bytes
) -> None:
    assert crc32(first + second) == zlib.crc32(first + second)
    assert joined(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@pytest.mark.parametrize("joined", [combine, combine_slowly])
def test_joined_sums_hold_for_large_runs(joined: Callable[[int, int, int], int]) -> None:
    first, second = bytes(range(256)) * 17, b"\x5a" * 3_000_001
    assert joined(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


PROGRAM = """
import json, sys
for name in sys.argv[2:]:
    sys.modules[name] = None
from pathlib import Path
from airflow_runai.checkpoints import check
for path in sorted(set(Path(sys.argv[1]).iterdir()) - {Path(sys.argv[1], "other")}):
    report = check(path)
    print(json.dumps([report.to_json(), report.ledger.to_json()]))
"""


def test_the_standard_library_alone_says_the_same_of_everything() -> None:
    """Verdicts, findings, digests and ledgers of all golden checkpoints, with and without isal and NumPy."""
    told = []
    for without in ([], ["isal"], ["isal", "numpy"]):
        command = [sys.executable, "-c", PROGRAM, str(GOLDEN), *without]
        told.append(subprocess.run(command, capture_output=True, text=True, check=True, cwd=GOLDEN.parents[2]).stdout)
    assert told[0].count("\n") > 15
    assert told[0] == told[1] == told[2]

from __future__ import annotations

import math
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.checkpoints.checking.float_layouts import (
    FLOAT_LAYOUTS,
    ByteOrder,
    ContentTest,
    flags_of,
    locate_non_finite,
)
from airflow_runai.checkpoints.storage.crc import combine, crc32
from airflow_runai.checkpoints.storage.crc32c import crc32c


def _bfloat16(pattern: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", pattern << 16))[0])


def _float16(pattern: int) -> float:
    return float(struct.unpack("<e", struct.pack("<H", pattern))[0])


def _e5m2(pattern: int) -> float:
    return _float16(pattern << 8)


def _e4m3fn(pattern: int) -> float:
    return math.nan if pattern & 0x7F == 0x7F else 1.0


@pytest.mark.parametrize(
    ("kind", "value"),
    [("bf16", _bfloat16), ("f16", _float16), ("e5m2", _e5m2), ("e4m3fn", _e4m3fn)],
)
def test_every_pattern_of_the_short_floats_is_judged_exactly(kind: str, value: object) -> None:
    assert callable(value)
    layout = FLOAT_LAYOUTS[kind]
    for pattern in range(1 << (8 * layout.width)):
        raw = memoryview(pattern.to_bytes(layout.width, "little"))
        expected = (not math.isfinite(value(pattern)), pattern == 0)
        assert flags_of(raw, layout, "little") == expected, hex(pattern)
        if expected[0]:
            seen, number = locate_non_finite(raw, layout, "little"), value(pattern)
            assert (bool(len(seen.nan)), bool(len(seen.plus)), bool(len(seen.minus))) == (
                math.isnan(number),
                number == math.inf,
                number == -math.inf,
            ), hex(pattern)


@pytest.mark.parametrize(("kind", "layout"), [("f32", "f"), ("f64", "d")])
@pytest.mark.parametrize("byteorder", ["little", "big"])
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_long_floats_are_judged_as_python_judges_them(
    kind: str, layout: str, byteorder: ByteOrder, values: list[float]
) -> None:
    order = "<" if byteorder == "little" else ">"
    raw = memoryview(struct.pack(f"{order}{len(values)}{layout}", *values))
    bad = not all(map(math.isfinite, values))
    zero = not any(raw)
    assert flags_of(raw, FLOAT_LAYOUTS[kind], byteorder) == (bad, zero)
    seen = locate_non_finite(raw, FLOAT_LAYOUTS[kind], byteorder)
    assert list(seen.nan) == [place for place, value in enumerate(values) if math.isnan(value)]
    assert list(seen.plus) == [place for place, value in enumerate(values) if value == math.inf]
    assert list(seen.minus) == [place for place, value in enumerate(values) if value == -math.inf]


def test_a_mask_of_zeros_and_minus_infinity_is_told_from_broken_weights() -> None:
    mask, weights = ContentTest("f32"), ContentTest("f32")
    mask.feed(memoryview(struct.pack("<4f", 0.0, -math.inf, 0.0, -math.inf)))
    mask.feed(memoryview(bytes(16)))
    weights.feed(memoryview(struct.pack("<2f", 0.5, 1.0)))
    weights.feed(memoryview(struct.pack("<2f", -math.inf, 0.0)))
    assert (mask.non_finite, mask.mask_like) == (True, True)
    assert (weights.non_finite, weights.mask_like) == (True, False)


@given(first=st.binary(max_size=300), second=st.binary(max_size=300))
def test_joined_sums_are_the_sum_of_the_joined_bytes(first: bytes, second: bytes) -> None:
    assert crc32(first + second) == zlib.crc32(first + second)
    assert combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def test_joined_sums_hold_for_large_runs() -> None:
    first, second = bytes(range(256)) * 17, b"\x5a" * 3_000_001
    assert combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def test_crc32c_gives_the_published_check_values() -> None:
    assert (crc32c(b"123456789"), crc32c(bytes(32))) == (0xE3069283, 0x8A9136AA)  # RFC 3720, B.4

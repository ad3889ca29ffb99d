"""What a metrics file may hold: numbers under names; everything else is refused by its key and never shown."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.metrics import MAX_METRICS, MAX_NAME_LENGTH, parse_metrics
from airflow_runai.errors import MetricsError

SECRET = "-----BEGIN PRIVATE KEY-----"


def parsed(found: Any) -> dict[str, float]:
    return parse_metrics(json.dumps(found).encode(), "/ckpt/metrics.json")


def test_numbers_come_out_as_they_were_written() -> None:
    assert parsed({"accuracy": 0.97, "samples": 360, "eval/loss": -1e-3, "größe": 0}) == {
        "accuracy": 0.97,
        "samples": 360,
        "eval/loss": -0.001,
        "größe": 0,
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (SECRET, "'key' is a text"),
        ({"nested": SECRET}, "'key' is an object"),
        ([SECRET], "'key' is a list"),
        (True, "'key' is true or false"),
        (None, "'key' is null"),
    ],
)
def test_what_is_no_number_is_refused_by_its_key_and_not_shown(value: Any, words: str) -> None:
    with pytest.raises(MetricsError) as caught:
        parsed({"accuracy": 0.9, "key": value})
    assert str(caught.value).startswith(f"/ckpt/metrics.json: {words}; allowed: printable names")
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["", "\0", "a\nb", "\x1b[31m", "\u202e", "\ud83d", "x" * (MAX_NAME_LENGTH + 1)]
)
def test_a_name_that_airflow_could_not_take_is_refused(name: str) -> None:
    with pytest.raises(MetricsError, match="is not a name; allowed: printable names") as caught:
        parsed({name: 1})
    assert str(caught.value).isprintable()


def test_more_than_anybody_reads_is_refused() -> None:
    with pytest.raises(MetricsError, match=r"1001 metrics; allowed: at most 1000"):
        parsed({str(number): 1 for number in range(MAX_METRICS + 1)})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", math.nan),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("1e999", math.inf),
        (str(10**400), math.inf),
        (str(-(10**400)), -math.inf),
        (str(2**63), 2.0**63),
        (str(2**63 - 1), 2**63 - 1),
    ],
)
def test_a_number_that_is_too_large_for_airflow_becomes_one_that_is_not(
    text: str, value: float
) -> None:
    found = parse_metrics(f'{{"x": {text}}}'.encode(), "m")["x"]
    assert found == value or (math.isnan(found) and math.isnan(value))
    assert isinstance(found, float) is isinstance(value, float)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_what_is_not_json_is_told_without_a_traceback(raw: bytes) -> None:
    with pytest.raises(MetricsError, match="m: not JSON"):
        parse_metrics(raw, "m")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_whatever_a_file_holds_only_numbers_come_out(found: Any) -> None:
    try:
        numbers = parsed(found)
    except MetricsError as error:
        words = str(error)
        numbers = {}
    else:
        words = ""
    assert words.isprintable()
    for name, value in numbers.items():
        assert name.isprintable()
        assert type(value) is float or (type(value) is int and abs(value) < 2**63)

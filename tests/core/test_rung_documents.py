"""What is found in the folders of a rung: one's own reads as it was written, all else is named."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.sweep.rung_documents import (
    MAX_BYTES,
    result_text,
    score_in,
    trial_in,
    trial_text,
)


@given(st.integers(0, 1023), st.one_of(st.none(), st.floats()))
def test_what_was_written_is_read(trial: int, score: float | None) -> None:
    data = result_text(trial, "accuracy", score).encode()
    found = score_in(data, trial, "accuracy")
    if score is None or not abs(score) <= 1e308:
        assert math.isnan(found)
    else:
        assert found == score
    assert trial_in(trial_text(trial).encode(), 1024) == trial


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON: b''"),
        (b"\xff", "no JSON"),
        (b"[" * 4000, "no JSON"),
        (b"[]", "no JSON object: []"),
        (b"{}" + b" " * MAX_BYTES, "larger than 4096 bytes"),
        (b'{"trial": 2, "metric": "accuracy", "score": 1}', "trial: 2; needed: 1"),
        (b'{"trial": 1, "metric": "loss", "score": 1}', "metric: 'loss'; needed: 'accuracy'"),
        (b'{"trial": 1, "metric": "accuracy"}', "needed: a finite number, or null"),
        (b'{"trial": 1, "metric": "accuracy", "score": NaN}', "score: nan; needed: a finite"),
        (b'{"trial": 1, "metric": "accuracy", "score": true}', "score: True; needed: a finite"),
        (b'{"trial": 1, "metric": "accuracy", "score": 1e999}', "score: inf; needed: a finite"),
        (b'{"trial": 1, "metric": "accuracy", "score": 1%s}' % (b"0" * 999), "score: 1000"),
    ],
)
def test_what_is_no_result_says_why(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        score_in(data, 1, "accuracy")


@pytest.mark.parametrize("trial", ["3", "-1", "true", "1.0", '"1"', "null", "1" + "0" * 999])
def test_a_claim_names_a_trial_of_the_sweep(trial: str) -> None:
    with pytest.raises(ValueError, match=r"needed: 0 to 2|no JSON"):
        trial_in(b'{"trial": %s}' % trial.encode(), 3)

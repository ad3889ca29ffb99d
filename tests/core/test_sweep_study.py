"""A study as data: what a sampler says of it, and what its trials are in a space's own words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.sweep.points import at_random
from airflow_runai.core.sweep.space import read_space
from airflow_runai.core.sweep.study import (
    StudySampler,
    point_of,
    read_study_sampler,
    suggestion,
)
from airflow_runai.errors import SpecError

SPACE = {
    "lr": {"log_uniform": [1e-4, 1e-1]},
    "layers": {"integer": [1, 8]},
    "width": {"log_integer": [16, 1024]},
    "optimizer": ["adam", "sgd"],
    "momentum": {"uniform": [0.5, 0.9], "when": {"optimizer": "sgd"}},
    "nesterov": {"choice": [True, False], "when": {"optimizer": "sgd"}},
}
WHOLE = {"lr": 0.01, "layers": 2, "width": 64, "optimizer": "adam"}


def test_a_sampler_names_its_study() -> None:
    asked = {"optuna": 20, "seed": 3, "study": "/shared/digits.journal", "name": "digits"}
    assert read_study_sampler(asked) == StudySampler(20, "/shared/digits.journal", 3, "digits")
    assert read_study_sampler({"optuna": 20, "study": "studies"}) == StudySampler(20, "studies")


@pytest.mark.parametrize("other", ["grid", {"random": 20}, {"even": 20, "study": "x"}, None])
def test_a_sampler_of_another_kind_has_none(other: Any) -> None:
    assert read_study_sampler(other) is None


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ({"optuna": 0, "study": "x"}, "sampler.optuna: 0; allowed: a whole number of at least 1"),
        ({"optuna": 9}, "sampler.study: missing; give the path of a journal file, or the id of a"),
        ({"optuna": 9, "study": ""}, "sampler.study: ''; allowed: a text that is not empty"),
        (
            {"optuna": 9, "study": "postgresql://u:s3cr3t@h/d"},
            "sampler.study: an address; allowed:",
        ),
        ({"optuna": 9, "study": "x", "seed": -1}, "sampler.seed: -1; allowed: a whole number"),
        ({"optuna": 9, "study": "x", "name": 7}, "sampler.name: 7; allowed: a text"),
        ({"optuna": 9, "study": "x", "nmae": "y"}, "sampler.nmae: did you mean 'name'?"),
    ],
)
def test_a_slip_in_a_sampler_is_told(sampler: Any, words: str) -> None:
    with pytest.raises(SpecError) as slip:
        read_study_sampler(sampler)
    assert words in str(slip.value)
    assert "s3cr3t" not in str(slip.value)


def test_all_slips_in_a_sampler_are_told_at_once() -> None:
    with pytest.raises(SpecError) as slip:
        read_study_sampler({"optuna": 0, "seed": -1})
    assert len(slip.value.problems) == 3


def test_a_space_in_the_words_of_optuna() -> None:
    assert {one.name: suggestion(one.values) for one in read_space(SPACE)} == {
        "lr": ("float", {"low": 1e-4, "high": 1e-1, "log": True}),
        "layers": ("int", {"low": 1, "high": 8, "log": False}),
        "width": ("int", {"low": 16, "high": 1024, "log": True}),
        "optimizer": ("categorical", {"choices": ["adam", "sgd"]}),
        "momentum": ("float", {"low": 0.5, "high": 0.9, "log": False}),
        "nesterov": ("categorical", {"choices": [True, False]}),
    }


def test_a_point_is_written_as_the_space_does() -> None:
    found = {"optimizer": "adam", "width": 64, "layers": 2, "lr": 0.0123456789}
    point = point_of(read_space(SPACE), found)
    assert point == {"lr": 0.01235, "layers": 2, "width": 64, "optimizer": "adam"}
    assert list(point) == ["lr", "layers", "width", "optimizer"]


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 1.0},
        {"lr": "0.01"},
        {"lr": float("nan")},
        {"lr": True},
        {"layers": 2.0},
        {"layers": 9},
        {"optimizer": "{{ conn.secret }}"},
        {"optimizer": "sgd"},  # then it has a momentum
        {"momentum": 0.6},  # without its condition
        {"more": 1},
        {"lr": None},
    ],
    ids=str,
)
def test_what_is_no_point_of_the_space_is_none(change: dict[str, Any]) -> None:
    assert point_of(read_space(SPACE), WHOLE) == WHOLE
    assert point_of(read_space(SPACE), {**WHOLE, **change}) is None


@given(st.integers(0, 10**6))
def test_every_point_of_a_space_is_one_of_it_and_stays_as_it_is(seed: int) -> None:
    space = read_space(SPACE)
    (point,) = at_random(space, 1, seed)
    assert point_of(space, dict(sorted(point.items(), reverse=True))) == point


def test_one_and_true_are_two_values() -> None:
    space = read_space({"x": [True, 1]})
    assert [type(point_of(space, {"x": x})["x"]) for x in (1, True)] == [int, bool]  # type: ignore[index]  # a point

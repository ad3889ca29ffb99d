"""Spaces of parameters: what they hold, where their points lie, and what is refused."""

from __future__ import annotations

import math
from collections import Counter
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.sweep.draw import draw
from airflow_runai.core.sweep.points import at_random, evenly, grid
from airflow_runai.core.sweep.space import Range, read_space
from airflow_runai.errors import SpecError

SPACE = {
    "lr": {"log_uniform": [1e-4, 1e-1], "points": 4},
    "batch-size": [32, 64],
    "optimizer": ["adam", "sgd"],
    "momentum": {"choice": [0.5, 0.9], "when": {"optimizer": "sgd"}},
}


def test_a_grid_has_every_point_once_and_conditions_hold() -> None:
    points = grid(read_space(SPACE), 100)
    assert len(points) == 4 * 2 * (1 + 2)
    assert len({repr(point) for point in points}) == len(points)
    assert [point["lr"] for point in points[::6]] == [0.0001, 0.001, 0.01, 0.1]
    assert all(("momentum" in point) == (point["optimizer"] == "sgd") for point in points)


def test_a_condition_on_what_does_not_exist_does_not_hold() -> None:
    space = {
        "a": [1, 2],
        "b": {"choice": [1, 2], "when": {"a": 1}},
        "c": {"choice": [1, 2], "when": {"b": [1, 2]}},
    }
    assert Counter(map(len, grid(read_space(space), 100))) == {3: 4, 1: 1}


def test_a_grid_may_have_more_parameters_than_python_has_levels_of_calls() -> None:
    space = {**{f"p{number}": [number] for number in range(1200)}, "last": [1, 2]}
    points = grid(read_space(space), 100)
    assert [(len(point), point["last"]) for point in points] == [(1201, 1), (1201, 2)]
    assert list(points[0]) == list(space)


@pytest.mark.parametrize(
    ("described", "values"),
    [
        ({"uniform": [0, 1], "points": 3}, (0.0, 0.5, 1.0)),
        ({"integer": [1, 3], "points": 9}, (1, 2, 3)),
        ({"log_integer": [1, 100], "points": 3}, (1, 7, 100)),
        ([True, 1, "1"], (True, 1, "1")),
    ],
)
def test_values_of_a_grid(described: Any, values: tuple[Any, ...]) -> None:
    (one,) = read_space({"x": described})
    assert one.values.grid() == values


shares = st.floats(0, 1, exclude_max=True)
ends = st.tuples(st.floats(1e-6, 1e6, allow_nan=False), st.floats(1.001, 1e6, allow_nan=False)).map(
    lambda pair: (pair[0], pair[0] * pair[1])
)


@given(ends, shares, st.booleans())
def test_a_number_lies_within_its_range_and_is_short(
    limits: tuple[float, float], share: float, is_log: bool
) -> None:
    low, high = limits
    value = Range(low, high, is_log, is_whole=False).at(share)
    assert low <= value <= high  # type: ignore[operator]  # a number
    assert value in limits or len(f"{value:.3e}") <= 10
    assert value in limits or float(f"{value:.4g}") == value


@given(st.integers(1, 10**6), st.integers(1, 10**6), shares, st.booleans())
def test_a_whole_number_lies_within_its_range(
    low: int, width: int, share: float, is_log: bool
) -> None:
    value = Range(low, low + width, is_log, is_whole=True).at(share)
    assert type(value) is int
    assert low <= value <= low + width


@pytest.mark.parametrize("sample", [at_random, evenly])
def test_the_same_seed_draws_the_same_points_and_more_of_them_begin_with_these(sample: Any) -> None:
    space = read_space(SPACE)
    points = sample(space, 50, seed=7)
    assert sample(space, 80, seed=7)[:50] == points
    assert sample(space, 50, seed=8) != points
    assert all(("momentum" in point) == (point["optimizer"] == "sgd") for point in points)


def test_a_further_parameter_moves_no_random_point() -> None:
    before = at_random(read_space(SPACE), 20, seed=1)
    after = at_random(read_space({**SPACE, "dropout": {"uniform": [0, 0.5]}}), 20, seed=1)
    assert [{k: v for k, v in point.items() if k != "dropout"} for point in after] == before


@pytest.mark.parametrize("seed", range(5))
def test_even_points_leave_smaller_gaps_than_random_ones(seed: int) -> None:
    space = read_space({"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 1]}})

    def largest_gap(points: Any) -> float:
        places = [(x / 20, y / 20) for x in range(21) for y in range(21)]
        return max(min(math.dist(p, (q["x"], q["y"])) for q in points) for p in places)

    assert largest_gap(evenly(space, 60, seed)) < largest_gap(at_random(space, 60, seed))


def test_random_points_spread_evenly_over_a_choice_and_over_decades() -> None:
    points = at_random(read_space(SPACE), 3000, seed=3)
    sizes = Counter(point["batch-size"] for point in points)
    decades = Counter(math.floor(math.log10(point["lr"])) for point in points)
    assert all(abs(count - 1500) < 150 for count in sizes.values())
    assert all(abs(decades[decade] - 1000) < 120 for decade in (-4, -3, -2))


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "space: {}; allowed: names of parameters to their values"),
    "a list": ([1], "space: [1]; allowed: names of parameters"),
    "no values": ({"lr": []}, "space.lr: []; allowed: a list of values, or a range"),
    "a number": ({"lr": 3}, "space.lr: 3; allowed: a list of values, or a range"),
    "a list within": ({"lr": [[1]]}, "space.lr: [1]; allowed: texts, finite numbers"),
    "not finite": ({"lr": [float("nan")]}, "space.lr: nan; allowed: texts, finite numbers"),
    "twice": ({"lr": [1, 1]}, "space.lr: [1, 1] repeats a value"),
    "typo": (
        {"lr": {"log_unifrom": [1, 2]}},
        "'log_unifrom' is unknown; did you mean 'log_uniform'",
    ),
    "two kinds": ({"lr": {"uniform": [1, 2], "choice": [1]}}, "space.lr: 2 of choice, uniform"),
    "no kind": ({"lr": {"points": 3}}, "space.lr: 0 of choice, uniform"),
    "one end": ({"lr": {"uniform": [1]}}, "uniform: [1]; allowed: [low, high]"),
    "texts": ({"lr": {"uniform": ["1", "2"]}}, "uniform: ['1', '2']; allowed: [low, high]"),
    "turned": ({"lr": {"uniform": [2, 1]}}, "uniform: [2, 1]; allowed: low < high"),
    "log of 0": ({"lr": {"log_uniform": [0, 1]}}, "log_uniform: [0, 1]; allowed: low > 0"),
    "not whole": ({"lr": {"integer": [0.5, 2]}}, "integer: [0.5, 2]; allowed: two whole numbers"),
    "one point": (
        {"lr": {"uniform": [0, 1], "points": 1}},
        "points: 1; allowed: a whole number from 2",
    ),
    "a difference": (
        {"lr": {"uniform": [-1e308, 1e308]}},
        "allowed: ends whose difference is finite",
    ),
    "too large": ({"x": [10**400]}, "allowed: texts, finite numbers"),
    "NUL": ({"x": ["a\0"]}, "space.x: a text that no process can be given"),
    "a surrogate": ({"x": ["\ud800"]}, "space.x: a text that no process can be given"),
    "a name": ({"learning rate": [1]}, "space.learning rate: no name; allowed: letters, digits"),
    "later": (
        {"a": {"choice": [1], "when": {"b": 1}}, "b": [1]},
        "space.a: when.b: no parameter before this one",
    ),
}


@pytest.mark.parametrize(("space", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_space_is_told(space: Any, words: str) -> None:
    with pytest.raises(SpecError) as wrong:
        read_space(space)
    assert words in str(wrong.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [("x", ["a", "ghp_" + "1a" * 18]), ("password", ["open-sesame"] * 2), ("api-key", ["q1w2e3"])],
)
def test_a_secret_is_refused_and_not_shown(name: str, values: Any) -> None:
    with pytest.raises(SpecError, match="looks like a secret, and everybody sees") as wrong:
        read_space({name: values})
    assert values[-1] not in str(wrong.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SpecError) as wrong:
        read_space({"a": [], "b": 3, "c": [1]})
    assert [problem.partition(":")[0] for problem in wrong.value.problems] == ["space.a", "space.b"]


def test_a_grid_needs_points_and_has_a_limit() -> None:
    with pytest.raises(SpecError, match=r"space\.lr: a range in a grid; say how many `points`"):
        grid(read_space({"lr": {"uniform": [0, 1]}}), 10)
    huge = {f"p{number}": list(range(10)) for number in range(6)}
    with pytest.raises(SpecError, match="more than 1024 points; allowed: 1024; sample some"):
        grid(read_space(huge), 1024)


def test_no_list_is_made_of_too_many_values() -> None:
    space = read_space({"x": {"integer": [1, 10**12], "points": 10**12}})
    with pytest.raises(SpecError, match=r"space\.x: more than 1024 `points`; allowed: 1024"):
        grid(space, 1024)


def test_trials_may_come_from_any_iterable_also_one_without_an_end() -> None:
    points = ({"x": x} for x in range(3))
    assert draw(points, "grid", limit=3) == [{"x": 0}, {"x": 1}, {"x": 2}]
    endless = count()
    with pytest.raises(SpecError, match=r"space: more than 9 points; allowed: 9, by \[core\]"):
        draw(({"x": x} for x in endless), "grid", limit=9)
    assert next(endless) == 10


@pytest.mark.parametrize("kind", ["optuna", "optnua"])
def test_an_address_in_a_sampler_that_is_none_here_is_not_shown(kind: str) -> None:
    sampler: dict[str, int | str] = {kind: 9, "study": "postgresql://user:s3cr3t@host/db"}
    with pytest.raises(SpecError, match=r"sampler\.opt") as slip:
        draw({"x": [1, 2]}, sampler, limit=9)
    assert "s3cr3t" not in str(slip.value)

"""Trials: named for people, ranked without mercy for what diverged, halved within a budget."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.naming import MAX_SLUG_LENGTH, check_slug
from airflow_runai.core.sweep.halving import PROMOTE, SKIP, WAIT, budget, decide, rungs
from airflow_runai.core.sweep.ranking import Result, best, check_goal, ranked, table
from airflow_runai.core.sweep.trials import distinct, make_trials
from airflow_runai.errors import NoValidCheckpoint, SpecError


def test_a_trial_has_a_name_a_label_arguments_and_variables() -> None:
    (one,) = make_trials([{"lr": 0.02, "batch-size": 64, "amp": True}])
    assert (one.name, one.label) == ("lr-0-02-batch-size-64-0", "lr=0.02 batch-size=64 amp=true")
    assert one.arguments() == ["lr=0.02", "batch-size=64", "amp=true"]
    assert one.environment() == {"LR": "0.02", "BATCH_SIZE": "64", "AMP": "true"}


values = st.one_of(
    st.integers(-999, 999), st.booleans(), st.text("aé -._Z0", min_size=1, max_size=30)
)
points = st.lists(
    st.dictionaries(st.sampled_from(["a", "b-c", "D_e", "_"]), values),
    min_size=1,
    max_size=30,
)


@given(points)
def test_names_are_labels_and_no_two_are_equal(given_points: list[dict[str, Any]]) -> None:
    kept = distinct(given_points)
    labels = {
        " ".join(f"{k}={str(v).lower() if v is True or v is False else v}" for k, v in p.items())
        for p in kept
    }
    if len(labels) < len(kept):
        return  # two values that read the same: refused, see below
    trials = make_trials(kept)
    assert all(check_slug(one.name) for one in trials)
    assert len({one.name for one in trials}) == len(trials)


def test_names_that_would_collide_when_they_are_cut_are_numbered() -> None:
    long = "x" * MAX_SLUG_LENGTH
    names = [one.name for one in make_trials([{"a": f"{long}-{end}"} for end in range(12)])]
    assert len(set(names)) == 12
    assert all(re.fullmatch(r"a-x+-\d+", name) for name in names)


@pytest.mark.parametrize(
    ("given_points", "words"),
    [
        ([], "space: no point in it"),
        ([{"a": 1}, {"a": 1}], "space: 'a=1' is there twice"),
        ([{"a": True}, {"a": "true"}], "space: 'a=true' is there twice"),
        ([{"spec": {"image": "x"}}] * 2, 'space: \'spec={"image": "x"}\' is there twice'),
        ([{"a-b": 1, "a_b": 2}], "space: a-b, a_b would be one variable; rename one"),
    ],
)
def test_trials_that_cannot_be_told_apart_are_refused(given_points: Any, words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        make_trials(given_points)


def test_a_mapping_as_spec_is_what_the_training_has_for_itself_and_no_parameter() -> None:
    one, other, named = make_trials([{"a": 1, "spec": {"image": "x"}}, {"a": 1}, {"spec": "y"}])
    assert (one.parameters, one.spec) == ({"a": 1}, {"image": "x"})
    assert (other.parameters, other.spec, other.label) == ({"a": 1}, {}, "a=1")
    assert (named.parameters, named.spec) == ({"spec": "y"}, {})
    assert [trial.name for trial in (one, other, named)] == ["a-1-0", "a-1-1", "spec-y-2"]


def test_parameters_are_labels_of_kubernetes_where_it_allows_them() -> None:
    point = {"lr": 0.02, "amp": True, "shift": -1, "text": "a b", "_": 1, "long": "x" * 64}
    (one,) = make_trials([{**point, "k-2": "a.b_c", "nothing": "", "line": "a\n"}])
    assert one.labels() == {"lr": "0.02", "amp": "true", "k-2": "a.b_c"}


def test_a_label_fits_into_a_column_of_airflow() -> None:
    long = [{"a": "x" * 5000 + end} for end in "bc"]
    assert all(len(one.label) <= 200 for one in make_trials(long))


def test_points_that_a_study_proposes_may_be_equal_and_have_names_of_their_own() -> None:
    trials = make_trials([{"a": 1}, {"a": 1}], may_repeat=True)
    assert [(one.name, one.label) for one in trials] == [("a-1-0", "a=1"), ("a-1-1", "a=1")]


def test_of_equal_points_the_first_is_kept() -> None:
    assert distinct([{"a": 1}, {"a": 2}, {"a": 1}, {"a": True}]) == [
        {"a": 1},
        {"a": 2},
        {"a": True},
    ]


def results(*scores: float | None) -> list[Result]:
    trials = make_trials([{"x": number} for number in range(len(scores))])
    return [
        Result(
            one, None if score is None else {"accuracy": score}, "failed" if score is None else ""
        )
        for one, score in zip(trials, scores, strict=True)
    ]


@pytest.mark.parametrize(
    ("scores", "mode", "order"),
    [
        ((0.5, 0.9, 0.7), "max", [1, 2, 0]),
        ((0.5, 0.9, 0.7), "min", [0, 2, 1]),
        ((0.9, math.nan, None, 0.9, math.inf), "max", [0, 3]),
        ((None, math.nan), "min", []),
    ],
)
def test_only_finite_scores_count_and_of_equal_ones_the_first_wins(
    scores: tuple[float | None, ...], mode: str, order: list[int]
) -> None:
    assert [one.trial.number for one in ranked(results(*scores), "accuracy", mode)] == order


def test_whoever_came_further_is_better_whatever_the_scores_before() -> None:
    found = [
        replace(one, rung=rung)
        for one, rung in zip(results(0.9, 0.1, 0.2, None), (0, 1, 1, 2), strict=True)
    ]
    assert [one.trial.number for one in ranked(found, "accuracy", "max")] == [2, 1, 0]
    assert [one.trial.number for one in ranked(found, "accuracy", "min")] == [1, 2, 0]


def test_too_few_successful_trials_are_one_sentence() -> None:
    found = results(0.9, None, math.nan)
    assert best(found, "accuracy", "max", 1).trial.number == 0
    words = r"best: 1 of 3 trials has a finite 'accuracy'; needed: 2; the first problem: failed"
    with pytest.raises(NoValidCheckpoint, match=words):
        best(found, "accuracy", "max", 2)


def test_a_metric_that_is_misspelt_is_told_with_those_there_are() -> None:
    (trial,) = make_trials([{"a": 1}])
    with pytest.raises(NoValidCheckpoint) as wrong:
        best([Result(trial, {"accuracy": 0.9})], "acuracy", "max", 1)
    assert str(wrong.value) == (
        "best: 0 of 1 trial has a finite 'acuracy'; needed: 1; of the first without it: "
        "did you mean 'accuracy'?"
    )


def test_the_table_has_every_trial_in_its_order() -> None:
    rows = table(results(0.5, None, 0.9), "accuracy", "max")
    assert [(row["trial"], row["score"], row["rank"], row["problem"]) for row in rows] == [
        (0, 0.5, 2, ""),
        (1, None, None, "failed"),
        (2, 0.9, 1, ""),
    ]


def test_the_table_says_why_a_trial_that_ran_has_no_score() -> None:
    diverged, other = table(results(math.inf, 0.5), "accuracy", "max")
    assert diverged["problem"] == "its evaluation gives no finite 'accuracy'"
    assert other["problem"] == ""
    (without,) = table(results(0.5), "loss", "min")
    assert without["problem"] == "its evaluation gives no finite 'loss'"


@pytest.mark.parametrize(
    ("given_goal", "words"),
    [
        (("", "max", 1), "metric: ''; allowed: the name of a metric"),
        (("a", "maximum", 1), "mode: 'maximum'; did you mean 'max'?"),
        (("a", "max", 0), "min_successful: 0; allowed: a whole number from 1"),
        (("a", "max", True), "min_successful: True; allowed"),
    ],
)
def test_a_goal_that_is_none_is_refused(given_goal: Any, words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        check_goal(*given_goal)


@pytest.mark.parametrize(
    ("given_rungs", "steps"),
    [
        ((27, 27, 3), (1, 3, 9, 27)),
        ((27, 900, 3, 100), (100, 300, 900)),
        ((9, 900, 3), (100, 300, 900)),
        ((2, 900, 3), (900,)),
        ((8, 7, 2), (1, 3, 7)),
    ],
)
def test_rungs_are_fixed_by_trials_and_steps(given_rungs: Any, steps: tuple[int, ...]) -> None:
    assert rungs(*given_rungs) == steps


@pytest.mark.parametrize(
    ("given_rungs", "words"),
    [
        ((0, 9, 3), "trials: 0; allowed: a whole number from 1"),
        ((9, 9, 1), "eta: 1; allowed: a whole number from 2"),
        ((9, 9, 3, 10), "min_steps: 10; allowed: at most max_steps, 9"),
    ],
)
def test_rungs_that_are_none_are_refused(given_rungs: Any, words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        rungs(*given_rungs)


scores_of = st.lists(
    st.one_of(st.floats(0, 1), st.just(math.nan), st.none()), min_size=1, max_size=30
)


@given(scores_of, st.integers(2, 4), st.randoms(use_true_random=False))
def test_whatever_the_order_of_gates_the_budget_holds_and_nobody_waits_for_ever(
    scores: list[float | None], eta: int, order: Any
) -> None:
    """A score of ``None`` is a trial that fails before it has one."""
    trials = len(scores)
    arrive = list(range(trials))
    waiting: list[int] = []
    order.shuffle(arrive)
    known: dict[int, float] = {}
    final: set[int] = set()
    claims: list[int] = []
    skipped: set[int] = set()

    def gate(trial: int) -> str:
        is_over = len(known.keys() | final) == trials
        return decide(trial, known, claims, limit=budget(trials, eta), is_over=is_over, eta=eta)

    while arrive or waiting:
        if arrive:
            trial = arrive.pop()
            score = scores[trial]
            if score is None:
                final.add(trial)
            else:
                known[trial] = score
                waiting.append(trial)
        order.shuffle(waiting)
        before = len(waiting)
        for trial in list(waiting):
            step = gate(trial)
            if step == PROMOTE and trial not in claims:
                claims.append(trial)
            if step != WAIT:
                waiting.remove(trial)
            if step == SKIP:
                skipped.add(trial)
        assert arrive or len(waiting) < before or not waiting
    finite = [trial for trial, score in known.items() if math.isfinite(score)]
    assert len(claims) <= budget(trials, eta)
    assert bool(claims) == bool(finite)
    assert all(math.isfinite(known[trial]) for trial in claims)
    # A clear asks again: who has gone on goes on again, and nobody else comes instead.
    again = [gate(trial) for trial in claims]
    assert again == [PROMOTE] * len(claims)


def test_the_best_of_a_whole_rung_goes_on() -> None:
    known = {trial: trial / 10 for trial in range(9)}
    steps = [decide(trial, known, [], limit=3, is_over=True, eta=3) for trial in range(9)]
    assert steps == [SKIP] * 6 + [PROMOTE] * 3


@pytest.mark.parametrize(
    ("scores", "claims", "is_over", "decision"),
    [
        ({0: 0.9}, [], False, WAIT),
        ({0: 0.9, 1: 0.5, 2: 0.1}, [], False, PROMOTE),
        ({0: 0.9, 1: 0.5, 2: 0.1}, [1], False, WAIT),
        ({0: 0.1, 1: 0.5, 2: 0.9}, [], False, WAIT),
        ({0: 0.1, 1: 0.5, 2: 0.9}, [2, 1, None], False, SKIP),
        ({0: 0.1, 1: 0.5, 2: 0.9}, [2, None], True, SKIP),
        ({0: 0.1, 1: 0.5, 2: 0.9}, [2, 1], True, PROMOTE),
        ({0: math.nan}, [], False, SKIP),
        ({0: math.nan}, [0], False, PROMOTE),
    ],
)
def test_a_trial_goes_on_as_soon_as_it_is_among_the_best_so_far(
    scores: dict[int, float], claims: list[int | None], is_over: bool, decision: str
) -> None:
    assert decide(0, scores, claims, limit=3, is_over=is_over, eta=3) == decision


@pytest.mark.parametrize(("rung", "limit"), [(0, 9), (1, 3), (2, 1), (3, 1)])
def test_each_rung_lets_fewer_go_on(rung: int, limit: int) -> None:
    assert budget(27, 3, rung) == limit

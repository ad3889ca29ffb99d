"""The checkpoints that were seen: bounded, and never without one that an incarnation went on from."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.saves import (
    MAX_RECENT,
    MAX_STARTS,
    Saved,
    gathered,
    of_this_run,
    saves_from_json,
)
from airflow_runai.core.usage import Incarnation, resumed_from

moments = st.integers(0, 10_000)


def looks(saves: list[Saved], keep: int) -> list[list[Saved]]:
    """What a look after each save lists, of a training that keeps the newest few."""
    return [saves[max(0, end - keep) : end] for end in range(1, len(saves) + 1)]


@given(
    st.lists(moments, unique=True, max_size=200).map(sorted),
    st.lists(moments, unique=True, max_size=MAX_STARTS).map(sorted),
    st.integers(1, 5),
)
def test_looks_miss_no_checkpoint_that_work_went_on_from(
    times: list[int], starts: list[int], keep: int
) -> None:
    saves = [Saved(step, float(at)) for step, at in enumerate(times)]
    known: tuple[Saved, ...] = ()
    for look in looks(saves, keep):
        known = gathered(known, look, [start for start in starts if start <= look[-1].at])
    known = gathered(known, [], starts)
    assert len(known) <= MAX_RECENT + len(starts)
    assert list(known) == sorted(known, key=lambda one: one.at)
    lives = [Incarnation(0.0, 0.0), *(Incarnation(float(at), float(at)) for at in starts)]
    assert resumed_from(known, lives) == resumed_from(saves, lives)


def test_a_step_that_was_saved_again_counts_twice() -> None:
    first, again = Saved(10, 100.0), Saved(10, 300.0)
    assert gathered([first], [again], [200.0]) == (first, again)


def test_a_step_that_was_only_touched_counts_once() -> None:
    assert gathered([Saved(10, 100.0)], [Saved(10, 150.0)], [200.0]) == (Saved(10, 100.0),)


def test_after_a_thousand_preemptions_the_newest_are_kept() -> None:
    saves = [Saved(step, step * 10.0) for step in range(1000)]
    known = gathered([], saves, [one.at + 5 for one in saves])
    assert len(known) <= MAX_RECENT + MAX_STARTS
    assert known[-1] == saves[-1]
    listed = [one.to_json() for one in saves]
    assert saves_from_json(listed)[-1] == saves[-1]


LIVES = [Incarnation(0.0, 10.0), Incarnation(20.0, 30.0), Incarnation(40.0, 50.0)]


def test_what_may_have_been_removed_unseen_is_not_guessed() -> None:
    both = [Saved(1, 5.0), Saved(2, 25.0)]
    assert resumed_from(both, LIVES, is_whole=False) == (5.0, 25.0)
    assert resumed_from(both[1:], LIVES, is_whole=False) is None
    assert resumed_from(both[1:], LIVES) == (0.0, 25.0)


def test_what_an_incarnation_made_anew_is_not_what_it_went_on_from() -> None:
    torn = [Saved(200, 5.0), Saved(300, 9.0), Saved(210, 25.0)]
    assert resumed_from(torn, LIVES[:2]) == (5.0,)
    assert resumed_from([*torn, Saved(200, 24.0)], LIVES[:2]) is None, "did it begin with 200?"


@pytest.mark.parametrize(
    ("saves", "runs_since", "steps"),
    [
        ([Saved(10_000, -50.0), Saved(500, 30.0), Saved(600, 40.0)], 20.0, [500, 600]),
        ([Saved(900, 10.0), Saved(500, 5.0), Saved(510, 30.0)], 20.0, [510]),
        ([Saved(900, 10.0), Saved(500, -5.0)], 20.0, [900]),
        ([Saved(900, 10.0), Saved(500, -5.0)], None, [900]),
        ([Saved(900, -10.0), Saved(500, -5.0)], 20.0, [900, 500]),
        ([Saved(900, 0.0), Saved(500, 0.0)], 20.0, [900, 500]),
    ],
    ids=[
        "earlier training",
        "fell back",
        "not yet",
        "does not run",
        "generation before",
        "no times",
    ],
)
def test_progress_is_that_of_the_present_run(
    saves: list[Saved], runs_since: float | None, steps: list[int]
) -> None:
    assert [one.step for one in of_this_run(saves, 1.0, runs_since)] == steps


@pytest.mark.parametrize(
    "value",
    [None, {}, "x", [None], [{}], [{"step": "7", "at": 1.0}], [{"step": True, "at": 1.0}]]
    + [[{"step": 7, "at": at}] for at in (None, "1", True, math.nan, math.inf)],
    ids=repr,
)
def test_what_is_no_checkpoint_is_left_out(value: object) -> None:
    assert saves_from_json(value) == ()


def test_json_there_and_back() -> None:
    one = Saved(7, 1795768985.7397928)  # exactly: it is compared with a later listing
    assert saves_from_json([one.to_json(), "x"]) == (one,)

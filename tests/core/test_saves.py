"""The checkpoints that were seen: bounded, and never without one that an incarnation went on from."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.saves import MAX_RECENT, Saved, gathered, saves_from_json
from airflow_runai.core.timeline import TIMELINE_LIMIT
from airflow_runai.core.usage import Incarnation, newest_before

moments = st.integers(0, 10_000)


def looks(saves: list[Saved], keep: int) -> list[list[Saved]]:
    """What a look after each save lists, of a training that keeps the newest few."""
    return [saves[max(0, end - keep) : end] for end in range(1, len(saves) + 1)]


@given(
    st.lists(moments, unique=True, max_size=200).map(sorted),
    st.lists(moments, unique=True, max_size=TIMELINE_LIMIT // 2).map(sorted),
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
    assert newest_before([one.at for one in known], lives) == newest_before(times, lives)


def test_a_step_that_was_saved_again_counts_twice() -> None:
    first, again = Saved(10, 100.0), Saved(10, 300.0)
    assert gathered([first], [again], [200.0]) == (first, again)


def test_what_may_have_been_removed_unseen_is_not_guessed() -> None:
    lives = [Incarnation(0.0, 10.0), Incarnation(20.0, 30.0), Incarnation(40.0, 50.0)]
    assert newest_before([5.0, 25.0], lives, is_whole=False) == (5.0, 25.0)
    assert newest_before([25.0], lives, is_whole=False) is None
    assert newest_before([25.0], lives) == (0.0, 25.0)


@pytest.mark.parametrize(
    "value",
    [None, {}, "x", [None], [{}], [{"step": "7", "at": 1.0}], [{"step": True, "at": 1.0}]]
    + [[{"step": 7, "at": at}] for at in (None, "1", True, math.nan, math.inf)],
    ids=repr,
)
def test_what_is_no_checkpoint_is_left_out(value: object) -> None:
    assert saves_from_json(value) == ()


def test_json_there_and_back() -> None:
    one = Saved(7, 1.5)
    assert saves_from_json([one.to_json(), "x"]) == (one,)

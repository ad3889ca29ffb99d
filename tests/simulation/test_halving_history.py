"""Whatever happens to the gates of a halving, a rung keeps its budget, and nobody waits for ever."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.sweep.halving import PROMOTE
from tests.simulation.halving_history import History, limit, promoted

RUNGS = 2
score = st.one_of(st.integers(0, 5).map(float), st.just(math.nan), st.none())
sweeps = st.lists(st.lists(score, min_size=RUNGS, max_size=RUNGS), min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sweeps, st.integers(2, 3), st.integers(0, 10**6), st.integers(0, 1200))
def test_no_history_lets_more_trials_go_on_than_may(
    scores: list[list[float | None]], eta: int, seed: int, steps: int
) -> None:
    history = History(scores, eta, random.Random(seed))
    try:
        history.play(steps)
        history.finish()
    finally:
        history.close()
    for rung in range(RUNGS):
        went = promoted(history, rung)
        assert len(history.claims(rung)) == len(went) <= limit(history, rung)
        assert [history.again((trial, rung)) for trial in went] == [PROMOTE] * len(went)
    for path, data in history.first_results.items():
        assert history.store.objects[path] == data
    ended = [path for path in history.store.objects if "/ended/" in path]
    assert len(ended) == len(scores)


@settings(max_examples=50, deadline=None)
@given(sweeps, st.integers(2, 3), st.integers(0, 10**6))
def test_if_any_trial_has_a_score_one_goes_on(
    scores: list[list[float | None]], eta: int, seed: int
) -> None:
    history = History(scores, eta, random.Random(seed))
    history.play(0)
    history.finish()
    known = [one[0] for one in scores if one[0] is not None and math.isfinite(one[0])]
    assert bool(promoted(history, 0)) == bool(known)

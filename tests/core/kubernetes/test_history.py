"""The history annotation keeps what the cluster forgets, and believes nothing that makes no sense."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.kubernetes.endings import ENDS
from airflow_runai.core.kubernetes.history import (
    MANY_LIVES,
    TrainingHistory,
    read_history,
    write_history,
)
from airflow_runai.core.kubernetes.incarnations import PodIncarnation, failures, united
from airflow_runai.core.kubernetes.job_facts import LONGEST_HISTORY

few = settings(max_examples=40, deadline=None)
moments = st.floats(1, 1e10, allow_nan=False)
lives = st.builds(
    PodIncarnation,
    uid=st.sampled_from("abcdefgh"),
    name=st.sampled_from(("train-0", "")),
    made=moments,
    start=st.none() | moments,
    end=st.none() | moments,
    exit_code=st.none() | st.integers(0, 255),
    reason=st.sampled_from(("", "Error", "OOMKilled")),
    ended=st.sampled_from(("", *ENDS)),
    by=st.sampled_from(("", "reclaim", "kueue")),
)


def life(number: int, ended: str = "preempted", **more: Any) -> PodIncarnation:
    made = 100.0 * number
    one = PodIncarnation(f"u{number}", f"train-{number}", made=made, start=made + 1, ended=ended)
    return replace(one, **more)


@few
@given(st.lists(lives))
def test_what_is_written_is_read(some: list[PodIncarnation]) -> None:
    history = TrainingHistory().with_lives(some)
    assert read_history(write_history(history)) == history


@few
@given(st.lists(lives), st.lists(lives))
def test_accounts_unite_in_any_order(
    some: list[PodIncarnation], others: list[PodIncarnation]
) -> None:
    both = united(some, others)
    assert both == united(others, some) == united(others, some, both)


def test_of_two_accounts_the_one_that_knows_more_counts() -> None:
    seen = life(1, "removed", exit_code=143)
    remembered = life(1, "preempted", by="reclaim")
    (one,) = united([seen], [remembered])
    assert (one.ended, one.by, one.exit_code) == ("preempted", "reclaim", 143)


def test_a_long_history_is_bounded_and_its_numbers_stay() -> None:
    ends = ("preempted", "preempted", "failed", "removed")
    history = TrainingHistory()
    for number in range(1, 1001):
        history = history.with_lives([life(number, ends[number % 4])])
    again = history.with_lives(life(number, ends[number % 4]) for number in range(1, 1001))
    assert again == history == read_history(write_history(history))
    assert (len(history.lives), history.all_failures) == (MANY_LIVES, 250)
    assert history.preemptions + sum(one.ended == "preempted" for one in history.lives) == 500
    assert len(write_history(history)) < LONGEST_HISTORY


def test_members_of_an_attempt_fail_once_though_the_attempt_is_forgotten() -> None:
    gang = [
        life(100 * attempt + member, "failed", attempt=attempt)
        for attempt in range(60)
        for member in range(9)
    ]
    history = TrainingHistory()
    for one in gang:
        history = history.with_lives([one])
    assert history.all_failures == failures(gang) == 60
    assert history.with_lives(gang) == history
    assert len(history.lives) <= MANY_LIVES


def test_a_gang_larger_than_the_bound_is_written_in_part_its_failures_first() -> None:
    gang = [life(1, "removed", uid=f"m{member:03}", attempt=0) for member in range(3 * MANY_LIVES)]
    gang[-1] = replace(gang[-1], ended="failed")
    kept = read_history(write_history(TrainingHistory().with_lives(gang)))
    assert (len(kept.lives), kept.all_failures) == (MANY_LIVES, 1)


def test_a_pod_that_lives_long_outlasts_the_bound() -> None:
    history = TrainingHistory().with_lives([life(1, "")])
    for number in range(2, 2 * MANY_LIVES):
        history = history.with_lives([life(number, "removed")])
    assert history.with_lives([life(1, "failed")]).all_failures == 1


NONSENSE = (
    "", "{", "null", "[]", "3", '"x"', '{"lives": 3}', '{"lives": [3, null, [], {}]}',
    '{"lives": [{"uid": "a", "made": "soon"}]}', '{"lives": [{"uid": "a", "made": NaN}]}',
    '{"lives": [{"uid": "", "made": 1}]}', '{"lives": [{"uid": "a", "made": 1, "ended": "eaten"}]}',
    '{"earlier": {"failures": "many"}}', "[" * 60_000, '{"lives": [' + "9" * 5000 + "]}",
    "x" * (LONGEST_HISTORY + 1), '{"earlier": {"failures": -3}, "lives": {}}',
)  # fmt: skip


@pytest.mark.parametrize("text", NONSENSE, ids=[text[:30] for text in NONSENSE])
def test_nonsense_is_an_empty_history(text: str) -> None:
    assert read_history(text) == TrainingHistory()


def test_values_by_hand_are_bounded_and_cleaned() -> None:
    entry = {
        "uid": "a", "made": 5, "exit": 4711, "attempt": -7, "ended": "failed", "by": 3,
        "words": "x\x1b[31m" * 500, "node": ["n"], "start": -1, "end": 1e300, "more": {"a": "b"},
    }  # fmt: skip
    found = {"lives": [entry], "earlier": {"failures": 10**15, "until": 4}}
    history = read_history(json.dumps(found))
    (one,) = history.lives
    assert (one.exit_code, one.attempt, one.by, one.node, one.start, one.end) == (
        None, -1, "", "", None, None,
    )  # fmt: skip
    assert len(one.words) <= 120
    assert one.words.isprintable()
    assert history.failures == 10**6


_json: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(("lives", "earlier", "uid", "made", "ended", "x")), inner)
    ),
    max_leaves=20,
)


@few
@given(_json)
def test_whatever_stands_there_is_read_and_written_again(found: Any) -> None:
    history = read_history(json.dumps(found))
    assert read_history(write_history(history)) == history

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.completion import (
    LONGEST_GRACE,
    is_complete,
    kills,
    leaving_into,
    why_incomplete,
)
from airflow_runai.core.decision import Snapshot, WaitPolicy, decide
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.phases import PHASES
from airflow_runai.core.workload import Workload
from tests.core.stage import NOON, acts

WORDS = "Preempted by team-b"
BEGIN = ((0, "Creating"), (10, "Running"))
TAKEN, DOUBTFUL, WHOLE = "taken away", "doubtful", "whole"

#: What follows a run of 90 s, and what to make of it.
STORIES: dict[str, tuple[tuple[Any, ...], str]] = {
    "by itself": (((100, "Completed"),), WHOLE),
    "the container says preempted at its end": (((100, "Completed", WORDS),), WHOLE),
    "preempted": (((100, "Terminating", WORDS), (105, "Completed")), TAKEN),
    "preempted, and then removed": (
        ((100, "Terminating", WORDS), (105, "Completed"), (400, "Deleting")),
        TAKEN,
    ),
    "preempted, without a phase for it": (((100, "Pending", WORDS), (105, "Completed")), TAKEN),
    "preempted, the words come later": (
        ((100, "Terminating"), (102, "Pending", WORDS), (105, "Completed")),
        TAKEN,
    ),
    "preempted, with a phase that nobody knows": (
        ((100, "Terminating", WORDS), (101, "Vanishing"), (105, "Completed")),
        TAKEN,
    ),
    "going down without a word": (((100, "Terminating"), (105, "Completed")), DOUBTFUL),
    "suspended by a person": (((100, "Stopping", "by a user"), (105, "Completed")), DOUBTFUL),
    "preempted, and it ran again": (
        ((100, "Terminating", WORDS), (110, "Running"), (200, "Completed")),
        WHOLE,
    ),
    "preempted, and it began again": (
        ((100, "Terminating", WORDS), (110, "Initializing"), (200, "Completed")),
        WHOLE,
    ),
    "preempted long before: nobody saw it run again": (
        ((100, "Pending", WORDS), (101 + LONGEST_GRACE, "Completed")),
        WHOLE,
    ),
    "preempted before it, and then by itself": (
        ((100, "Pending", WORDS), (110, "Running"), (150, "Terminating"), (151, "Completed")),
        DOUBTFUL,
    ),
    "failed": (((100, "Terminating", WORDS), (105, "Failed")), WHOLE),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_completion_is_one_unless_it_was_taken_away_before(story: str) -> None:
    rest, expected = STORIES[story]
    timeline = acts(*BEGIN, *rest)
    why = why_incomplete(timeline)
    assert bool(why) == (expected == TAKEN)
    assert (leaving_into(timeline) is not None) == (expected != WHOLE)
    assert why_incomplete(timeline, reached_end=True) == ""


def test_what_never_ran_was_not_taken_away() -> None:
    assert leaving_into(acts((0, "Creating"), (5, "Pending", WORDS), (9, "Completed"))) is None
    assert leaving_into(()) is None


def completed(*story: Any) -> Snapshot:
    timeline = acts(*BEGIN, *story)
    return Snapshot(Workload("w-1", "train-g1", timeline[-1].phase), timeline, NOON + 1000)


def test_the_wait_fails_for_it_and_says_why_unless_it_is_allowed() -> None:
    seen = completed((100, "Terminating", WORDS), (105, "Completed"))
    found = decide(WaitPolicy(), seen)
    assert isinstance(found, Outcome)
    assert found.status == "failed"
    assert found.phase == "Completed"
    assert found.reason.endswith(f"after the platform had begun to take it away: {WORDS}")
    allowed = decide(WaitPolicy(allow_exit_on_preemption=True), seen)
    assert isinstance(allowed, Outcome)
    assert allowed.status == "succeeded"


def test_a_policy_of_an_older_version_allows_nothing() -> None:
    stored = WaitPolicy().to_json()
    del stored["allow_exit_on_preemption"]
    assert WaitPolicy.from_json(stored) == WaitPolicy()


@given(st.booleans(), st.booleans())
def test_only_what_was_told_to_leave_has_to_show_its_end(told: bool, reached: bool) -> None:
    assert is_complete(told_to_leave=told, reached_end=reached) == (reached or not told)


moments = st.tuples(
    st.integers(0, 5000), st.sampled_from([*PHASES, "Odd"]), st.sampled_from(["", WORDS])
)


@given(st.lists(moments, max_size=12))
def test_every_history_has_an_answer(story: list[tuple[int, str, str]]) -> None:
    timeline = acts(*sorted(story)) if story else ()
    assert not why_incomplete(timeline) or leaving_into(timeline) is not None


@pytest.mark.parametrize(
    ("rest", "killed"),
    [
        (((100, "Terminating", WORDS), (130, "Pending")), 1),
        (((100, "Terminating", WORDS), (129, "Pending")), 0),
        (((100, "Terminating", WORDS), (140, "Completed")), 0),
        (((100, "Pending", WORDS), (140, "Running")), 0),
        (((100, "Stopping", "by a user"), (140, "Stopped")), 0),
        (
            (
                (100, "Terminating"),
                (130, "Pending"),
                (200, "Running"),
                (300, "Terminating"),
                (331, "Failed"),
            ),
            2,
        ),
    ],
)
def test_who_takes_the_whole_grace_was_killed(rest: tuple[Any, ...], killed: int) -> None:
    assert kills(acts(*BEGIN, *rest), 30.0) == killed
    assert kills(acts(*BEGIN, *rest), 0.0) == 0

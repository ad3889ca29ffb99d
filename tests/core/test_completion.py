from __future__ import annotations

from dataclasses import replace
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
    "the container says preempted at its end": (((100, "Completed", WORDS),), DOUBTFUL),
    "preempted, with a grace of hours": (
        ((100, "Terminating", WORDS), (4000 + LONGEST_GRACE, "Completed")),
        TAKEN,
    ),
    "preempted, and out of sight for hours": (
        ((100, "Terminating", WORDS), (110, "Unknown"), (111 + LONGEST_GRACE, "Completed")),
        DOUBTFUL,
    ),
    "preempted, some pods gone first": (
        ((100, "Terminating", WORDS), (110, "Degraded"), (120, "Updating"), (130, "Completed")),
        TAKEN,
    ),
    "preempted, and some pods may have begun again": (
        ((100, "Pending", WORDS), (110, "Degraded"), (120, "Completed")),
        DOUBTFUL,
    ),
    "a worker preempted": (((100, "Degraded", WORDS), (105, "Completed")), TAKEN),
    "a worker preempted while it is scaled": (
        ((100, "Updating", WORDS), (105, "Completed")),
        TAKEN,
    ),
    "a worker preempted, the words come later": (
        ((100, "Terminating"), (101, "Degraded", WORDS), (105, "Completed")),
        TAKEN,
    ),
    "a worker preempted, and on without it": (
        ((100, "Degraded", WORDS), (101 + LONGEST_GRACE, "Completed")),
        DOUBTFUL,
    ),
    "a worker preempted, and back": (
        ((100, "Degraded", WORDS), (110, "Running"), (200, "Completed")),
        WHOLE,
    ),
    "old words on what has begun again": (
        (
            (100, "Pending", WORDS),
            (110, "Initializing"),
            (120, "Running", WORDS),
            (130, "Degraded", WORDS),
            (140, "Completed", WORDS),
        ),
        WHOLE,
    ),
    "words of before on what has begun again": (
        ((100, "Pending"), (110, "Running", "resumed after preemption"), (140, "Completed")),
        WHOLE,
    ),
    "going down in the second of its end": (((100, "Completed"), (100, "Terminating")), DOUBTFUL),
    "preempted in the second of its end": (
        ((100, "Completed"), (100, "Terminating", WORDS)),
        TAKEN,
    ),
    "deleted in the second of its end": (((100, "Completed"), (100, "Deleting")), WHOLE),
    "its pods go down after its end": (((100, "Completed"), (101, "Terminating", WORDS)), WHOLE),
    "preempted in a start that was seen as no run": (
        ((100, "Pending"), (110, "Initializing"), (120, "Terminating", WORDS), (130, "Completed")),
        TAKEN,
    ),
    "preempted before it could begin again": (
        (
            (100, "Pending"),
            (110, "Initializing"),
            (120, "Terminating", WORDS),
            (130, "Pending"),
            (140, "Completed"),
        ),
        WHOLE,
    ),
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Preempting: reclaimed by team-b", TAKEN),
        ("preempting", TAKEN),
        ("the workload is being preempted by team-b", TAKEN),
        ("Preempting train-b, which is below its fair share", DOUBTFUL),
        ("resumed after preemption", DOUBTFUL),
        ("Previously: Preempted to accommodate another", DOUBTFUL),
        ("a preemptible workload, not guaranteed to stay", WHOLE),
        ("non-preemptible until noon", WHOLE),
        ("", WHOLE),
    ],
)
def test_what_runs_is_taken_away_only_by_words_of_the_present(words: str, expected: str) -> None:
    timeline = acts((0, "Creating"), (10, "Running", words), (900, "Completed"))
    assert bool(why_incomplete(timeline)) == (expected == TAKEN)
    assert (leaving_into(timeline) is not None) == (expected != WHOLE)


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


def test_a_completion_that_the_platform_doubts_fails_though_no_words_say_so() -> None:
    seen = completed((0, "Running"), (60, "Completed"))
    doubted = replace(seen, workload=replace(seen.workload, doubt="its pod was taken away"))
    found = decide(WaitPolicy(), doubted)
    assert isinstance(found, Outcome)
    assert (found.status, found.phase) == ("failed", "Completed")
    assert found.reason == "its pod was taken away"
    allowed = decide(WaitPolicy(allow_exit_on_preemption=True), doubted)
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
    st.integers(0, 5000),
    st.sampled_from([*PHASES, "Odd"]),
    st.sampled_from(["", WORDS, "Preempting"]),
)
histories = st.lists(moments, max_size=12).map(sorted)


@given(histories)
def test_every_history_has_an_answer(story: list[tuple[int, str, str]]) -> None:
    timeline = acts(*story) if story else ()
    assert not why_incomplete(timeline) or leaving_into(timeline) is not None


@given(histories, st.floats(0, 1e6))
def test_whatever_happened_before_an_honest_end_is_one(
    story: list[tuple[int, str, str]], seconds: float
) -> None:
    end = ((5001, "Initializing"), (5002, "Running"), (5003 + seconds, "Completed"))
    timeline = acts(*story, *end)
    assert why_incomplete(timeline) == ""
    assert leaving_into(timeline) is None


@given(
    histories,
    st.sampled_from(["Terminating", "Stopping", "Suspending"]),
    st.sampled_from([(), ((5004, "Degraded"),), ((5004, "Updating"), (5005, "Terminating"))]),
    st.floats(0, 1e6),
)
def test_whatever_happened_before_a_leave_with_these_words_is_no_end(
    story: list[tuple[int, str, str]], phase: str, between: tuple[Any, ...], seconds: float
) -> None:
    leave = ((5002, "Running"), (5003, phase, WORDS), *between, (5006 + seconds, "Completed"))
    assert why_incomplete(acts(*story, *leave)).endswith(WORDS)


@pytest.mark.parametrize(
    ("rest", "killed"),
    [
        (((100, "Terminating", WORDS), (130, "Pending")), 1),
        (((100, "Terminating", WORDS), (129, "Pending")), 0),
        (((100, "Terminating", WORDS), (140, "Completed")), 0),
        (((100, "Pending", WORDS), (140, "Running")), 0),
        (((100, "Stopping", "by a user"), (129, "Stopped")), 0),
        (((100, "Stopping", "by a user"), (140, "Stopped")), 1),
        (((100, "Suspending"), (110, "Stopping"), (135, "Stopped")), 1),
        (((100, "Terminating"), (110, "Unknown"), (120, "Vanishing"), (135, "Pending")), 1),
        (((100, "Failed"), (110, "Terminating"), (150, "Deleting")), 0),
        (((100, "Completed"), (110, "Deleting"), (120, "Terminating"), (160, "Deleting")), 0),
        (((100, "Failed"), (110, "Running"), (120, "Terminating"), (160, "Pending")), 1),
        (((100, "Terminating"),), 0),
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


@given(histories, st.data())
def test_phases_that_nobody_knows_change_no_count(
    story: list[tuple[int, str, str]], data: st.DataObject
) -> None:
    known = [entry for entry in story if entry[1] not in ("Unknown", "Odd")]
    unknown = data.draw(st.lists(st.tuples(st.integers(0, 5000), st.just("Odd"), st.just(""))))
    # Stable: moments of one second keep their order.
    mixed = sorted([*known, *unknown], key=lambda entry: entry[0])
    known = [entry for entry in mixed if entry[1] != "Odd"]
    assert kills(acts(*mixed), 30.0) == kills(acts(*known), 30.0)

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.outcome import STATUSES, Outcome, moments_from_json
from airflow_runai.core.timeline import TIMELINE_LIMIT, Clocks, Moment, clocks
from tests.core.stage import NOON, acts

STORY = acts(
    (0, "Creating"), (5, "Pending"), (60, "Degraded"), (90, "Running"), (500, "Completed", "done")
)
DONE = Outcome(
    "succeeded",
    "w-1",
    "train-g1",
    "Completed",
    "completed",
    NOON + 500,
    clocks(STORY, NOON + 500),
    STORY,
)

outcomes = st.builds(
    Outcome,
    status=st.sampled_from(sorted(STATUSES)),
    workload_id=st.text(max_size=20),
    name=st.text(max_size=20),
    phase=st.text(max_size=20),
    reason=st.text("abc :;", max_size=100).map(lambda text: " ".join(text.split())),
    ended_at=st.floats(0, 1e10),
    clocks=st.builds(
        Clocks, *[st.integers(0, 10**7).map(lambda ms: ms / 1000)] * 5, st.integers(0, 999)
    ),
    timeline=st.lists(st.builds(Moment, st.floats(0, 1e10), st.text(max_size=9)), max_size=30).map(
        tuple
    ),
    absent=st.booleans(),
    project_id=st.text(max_size=5),
    kind=st.text(max_size=5),
)


@pytest.mark.slow
@given(outcomes)
def test_an_event_crosses_json_and_comes_back_the_same(outcome: Outcome) -> None:
    assert Outcome.from_event(json.loads(json.dumps(outcome.to_event()))) == outcome


@pytest.mark.parametrize("status", ["Succeeded", "success", "", None, 1, "unknown"])
def test_an_event_of_unknown_status_is_refused_and_says_what_is_allowed(status: object) -> None:
    with pytest.raises(
        ValueError, match=r"event\.status: .*allowed: failed, gone, .*succeeded"
    ) as caught:
        Outcome.from_event({**DONE.to_event(), "status": status})
    assert repr(status) in str(caught.value)


def test_an_event_of_a_newer_version_is_read_without_what_it_adds() -> None:
    event = DONE.to_event()
    newer = {**event, "weather": "fine", "clocks": {**event["clocks"], "napping": 3}}
    newer["timeline"] = [{**moment, "node": "n1"} for moment in event["timeline"]]
    assert Outcome.from_event(newer) == DONE


def test_an_event_with_nothing_but_its_status_is_enough() -> None:
    assert Outcome.from_event({"status": "gone"}).status == "gone"


def test_events_are_bounded_however_long_the_story() -> None:
    long = tuple(Moment(NOON + i, f"P{i}", "x" * 5000) for i in range(2000))
    event = Outcome("failed", "w", "n", "Failed", "y " * 9999, NOON, Clocks(), long).to_event()
    assert len(event["timeline"]) == TIMELINE_LIMIT
    assert len(json.dumps(event)) < 120_000


def test_the_result_is_small_and_says_when_it_first_ran() -> None:
    result = DONE.to_result("team-a")
    assert (result["submitted_at"], result["started_at"], result["ended_at"]) == (
        NOON,
        NOON + 60,
        NOON + 500,
    )
    assert (result["project"], result["clocks"]["queue"], result["interruptions"]) == (
        "team-a",
        60,
        0,
    )
    assert "timeline" not in result


def test_the_result_of_what_was_never_seen_has_no_moments() -> None:
    result = Outcome("gone", "w", "n", "", "", NOON).to_result("team-a")
    assert result["submitted_at"] is None
    assert result["started_at"] is None


def test_a_timeline_that_is_shown_can_be_taken_up() -> None:
    assert moments_from_json(json.loads(json.dumps(DONE.to_news()))) == STORY


@pytest.mark.parametrize(
    "damaged",
    [None, 1, "x", [], {}, {"timeline": 5}, {"timeline": [1, None, {}]}]
    + [
        {"timeline": [{"at": at, "phase": phase}]}
        for at, phase in (("x", "Running"), (True, "Running"), (1.0, 2))
    ]
    + [{"timeline": [{"at": float("nan"), "phase": "Running"}]}],
)
def test_what_is_shown_and_no_timeline_counts_as_nothing(damaged: object) -> None:
    assert moments_from_json(damaged) == ()


@pytest.mark.parametrize(
    ("status", "reason", "sentence"),
    [
        ("failed", "failed: exit code 1", "workload w failed: exit code 1"),
        ("failed", "failed", "workload w failed"),
        ("failed", "failed with exit code 3", "workload w failed with exit code 3"),
        ("gone", "was deleted by someone else", "workload w gone: was deleted by someone else"),
    ],
)
def test_the_sentence_says_no_word_twice(status: str, reason: str, sentence: str) -> None:
    assert Outcome(status, "id", "w", "", reason, 0.0).sentence == sentence

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.phases import FINAL, PHASES, Meaning, meaning
from airflow_runai.core.timeline import (
    TIMELINE_LIMIT,
    Clocks,
    Moment,
    bounded,
    clocks,
    last_meaning,
    merge,
)
from tests.core.stage import NOON, acts

STRANGE = ["", "Unknown", "Preempted", "Hibernating", "running"]
moments = st.lists(
    st.tuples(
        st.integers(0, 5000),
        st.sampled_from([*PHASES, *STRANGE]),
        st.sampled_from(["", "Preempted by team-b", "ok"]),
    ),
    max_size=25,
)


def _timeline(steps: Sequence[tuple[int, str, str]]) -> tuple[Moment, ...]:
    at, found = NOON, []
    for gap, phase, message in steps:
        at += gap
        found.append(Moment(at, phase, message))
    return tuple(found)


timelines = moments.map(_timeline)
later = st.integers(0, 100_000)


def _end(timeline: Sequence[Moment]) -> float:
    return timeline[-1].at if timeline else NOON


@given(timelines, later)
def test_the_clocks_add_up_to_the_total_and_none_is_negative(
    timeline: tuple[Moment, ...], seconds: int
) -> None:
    found = clocks(timeline, _end(timeline) + seconds)
    assert found.total == pytest.approx(found.queue + found.interrupted_total + found.running)
    assert min(found.to_dict().values()) >= 0
    assert found.interruption <= found.interrupted_total
    assert found.preemptions <= found.interruptions


def test_words_of_a_preemption_survive_a_neighbor_with_other_words() -> None:
    read = (
        Moment(NOON, "Running"),
        Moment(NOON + 1, "Pending", "ok"),
        Moment(NOON + 2, "Pending", "Preempted by b"),
    )
    assert merge(read) == (Moment(NOON, "Running"), Moment(NOON + 1, "Pending", "Preempted by b"))


@pytest.mark.parametrize(
    "message",
    [
        "Preempted by team-b",
        "Pod team-a/x-0-0 was preempted by workload team-b/y",
        "Preempted to accommodate a workload (UID: 25797) due to reclamation within the cohort",
        "evicted: PreemptionByScheduler",
        "Evicted due to preemption",
        "preempted, no capacity; pending preemption of nobody",
        "PREEMPTION: node maintenance",
    ],
)
def test_the_platforms_words_name_a_preemption(message: str) -> None:
    assert Moment(NOON, "Pending", message).is_preemption


@pytest.mark.parametrize(
    "message",
    [
        "",
        "NonPreemptibleOverQuota: Non-preemptible workload is over quota",
        "0 GPUs are already allocated for non-preemptible pods. Use a preemptible workload to go on",
        "1 more needed. Pending the preemption of 1 workload(s)",
        "no preemption victims found for incoming pod",
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling",
        "preemptionPolicy: PreemptLowerPriority",
        "terminateAfterPreemption is set",
        "it will not be preempted before 12:00",
        "waiting for preemption",
        "preemptor path: /pool/team-b",
    ],
)
def test_other_words_do_not(message: str) -> None:
    assert not Moment(NOON, "Pending", message).is_preemption


@given(timelines.filter(bool), later)
def test_the_total_is_the_time_since_submission_unless_it_has_ended(
    timeline: tuple[Moment, ...], seconds: int
) -> None:
    now = _end(timeline) + seconds
    if not any(meaning(m.phase) in FINAL for m in timeline):
        assert clocks(timeline, now).total == pytest.approx(now - timeline[0].at)


@given(timelines, later)
def test_a_timeline_that_is_read_twice_gives_the_same_clocks(
    timeline: tuple[Moment, ...], seconds: int
) -> None:
    now, once = _end(timeline) + seconds, merge(timeline)
    assert merge(once) == once
    assert merge(timeline, timeline) == once
    assert merge(once, once) == once
    assert clocks(once, now) == clocks(timeline, now)


@given(timelines.filter(bool), st.integers(0, 30), st.sampled_from(STRANGE), later)
def test_phases_that_nobody_knows_change_nothing(
    timeline: tuple[Moment, ...], where: int, phase: str, seconds: int
) -> None:
    index = 1 + where % len(timeline)
    at = timeline[index - 1].at
    disturbed = (*timeline[:index], Moment(at, phase, "preempted, perhaps"), *timeline[index:])
    now = _end(timeline) + seconds
    assert clocks(disturbed, now) == clocks(timeline, now)


@given(timelines, later)
def test_an_interruption_counts_once_per_stretch(
    timeline: tuple[Moment, ...], seconds: int
) -> None:
    kinds = [meaning(m.phase) for m in timeline if meaning(m.phase) is not Meaning.UNKNOWN]
    stretches = [
        (runs, list(group))
        for runs, group in groupby(kinds, key=lambda kind: kind is Meaning.RUNNING)
    ]
    first = next((i for i, (runs, _) in enumerate(stretches) if runs), len(stretches))
    away = {Meaning.WAITING, Meaning.STARTING, Meaning.SUSPENDED}
    expected = sum(not runs and bool(away & set(group)) for runs, group in stretches[first:])
    assert clocks(timeline, _end(timeline) + seconds).interruptions == expected


@given(timelines.filter(bool), later, later)
def test_clocks_of_what_has_ended_stand_still(
    timeline: tuple[Moment, ...], one: int, two: int
) -> None:
    ended = (*timeline, Moment(_end(timeline) + 1, "Completed"))
    assert clocks(ended, _end(ended) + one) == clocks(ended, _end(ended) + two)
    removed = (*ended, Moment(_end(ended) + 5, "Deleting"))
    assert clocks(removed, _end(removed) + two) == clocks(ended, _end(ended))


RUN = ((0, "Creating"), (5, "Pending"), (65, "Running"))
TABLE: dict[str, tuple[tuple[Any, ...], dict[str, float]]] = {
    "nothing known": ((), {"total": 0}),
    "still queueing": (((0, "Creating"), (5, "Pending")), {"queue": 1000, "total": 1000}),
    "runs": (RUN, {"queue": 65, "running": 935, "total": 1000}),
    "preempted once, back again": (
        (*RUN, (165, "Terminating", "Preempted"), (170, "Pending", "Preempted"), (270, "Running")),
        {
            "queue": 65,
            "running": 830,
            "interrupted_total": 105,
            "interruptions": 1,
            "preemptions": 1,
        },
    ),
    "preempted and waiting": (
        (*RUN, (900, "Pending", "Preempted by a project")),
        {
            "running": 835,
            "interruption": 100,
            "interrupted_total": 100,
            "interruptions": 1,
            "preemptions": 1,
        },
    ),
    "the same words twice in one stretch": (
        (
            *RUN,
            (100, "Pending", "preempted"),
            (110, "Initializing"),
            (120, "Pending", "preempted"),
            (130, "Running"),
        ),
        {"interruptions": 1, "preemptions": 1, "interrupted_total": 30},
    ),
    "two preemptions": (
        (
            *RUN,
            (100, "Pending", "preempted"),
            (130, "Running"),
            (200, "Pending", "preempted"),
            (240, "Running"),
        ),
        {"interruptions": 2, "preemptions": 2, "interrupted_total": 70},
    ),
    "a node was lost, nobody said preempted": (
        (*RUN, (100, "Pending", "node is gone"), (130, "Running")),
        {"interruptions": 1, "preemptions": 0},
    ),
    "preempted before it ever ran": (
        ((0, "Creating"), (10, "Initializing"), (20, "Pending", "preempted"), (65, "Running")),
        {"queue": 65, "interruptions": 0, "preemptions": 0},
    ),
    "ends by itself": (
        (*RUN, (500, "Terminating"), (510, "Completed")),
        {
            "queue": 65,
            "running": 445,
            "interrupted_total": 0,
            "interruption": 0,
            "interruptions": 0,
            "total": 510,
        },
    ),
    "ends while it is told to go": (
        (*RUN, (500, "Terminating", "preempted"), (510, "Completed")),
        {"running": 445, "interrupted_total": 0, "interruptions": 0, "preemptions": 0},
    ),
    "going down now": (
        (*RUN, (900, "Terminating")),
        {"running": 835, "interruption": 100, "interruptions": 0},
    ),
    "suspended and resumed": (
        (
            *RUN,
            (100, "Stopping"),
            (110, "Stopped"),
            (200, "Resuming"),
            (210, "Pending"),
            (265, "Running"),
        ),
        {"interrupted_total": 165, "interruptions": 1, "preemptions": 0},
    ),
    "cluster link lost while it ran": (
        (*RUN, (100, "Unknown"), (300, "Running")),
        {"running": 935},
    ),
    "first seen in a state that nobody knows": (
        ((0, "Warming"), (50, "Running")),
        {"queue": 50, "running": 950},
    ),
    "degraded is running": (
        (*RUN, (100, "Degraded"), (200, "Updating")),
        {"running": 935, "interruptions": 0},
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_clocks_of_known_stories(case: str) -> None:
    story, expected = TABLE[case]
    found = clocks(acts(*story), NOON + 1000).to_dict()
    assert {key: found[key] for key in expected} == expected


def test_moments_of_the_same_second_keep_their_order_when_read_again() -> None:
    flapping = acts((5, "Running"), (5, "Pending"), (5, "Running"))
    assert [m.phase for m in merge(flapping, flapping)] == ["Running", "Pending", "Running"]


def test_a_later_source_fills_in_what_the_first_did_not_see() -> None:
    ours = acts((0, "Creating"), (30, "Running"), (90, "Running"))
    theirs = acts(
        (0, "Creating"),
        (10, "Pending"),
        (29, "Running"),
        (60, "Pending", "preempted"),
        (80, "Running"),
    )
    phases = [m.phase for m in merge(theirs, ours)]
    assert phases == ["Creating", "Pending", "Running", "Pending", "Running"]


def test_of_two_equal_neighbours_the_words_are_kept_with_the_earlier_moment() -> None:
    assert merge(acts((0, "Pending"), (5, "Pending", "no GPUs left"))) == acts(
        (0, "Pending", "no GPUs left")
    )


@given(st.integers(0, 900), st.integers(10, 300))
def test_a_bounded_timeline_keeps_the_beginning_and_the_newest(length: int, limit: int) -> None:
    timeline = tuple(Moment(NOON + i, f"P{i}") for i in range(length))
    found = bounded(timeline, limit)
    assert len(found) == min(length, limit)
    assert found[:1] == timeline[:1]
    assert found[-1:] == timeline[-1:]
    assert list(found) == sorted(found, key=lambda m: m.at)


def test_three_hundred_preemptions_stay_bounded() -> None:
    steps = [(i * 60.0, "Running" if i % 2 else "Pending") for i in range(600)]
    timeline = acts(*steps)
    assert len(bounded(timeline)) == TIMELINE_LIMIT
    assert clocks(timeline, NOON + 36_000).interruptions == 299


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ((), None),
        (((0, "Running"), (5, "Completed"), (9, "Deleting")), Meaning.SUCCEEDED),
        (((0, "Running"), (5, "Failed"), (6, "Terminating"), (9, "Deleting")), Meaning.FAILED),
        (((0, "Running"), (9, "Deleting")), Meaning.DELETING),
        (((0, "Running"), (9, "Unknown")), Meaning.RUNNING),
    ],
)
def test_the_removal_of_what_has_finished_does_not_change_how_it_ended(
    story: Any, expected: Meaning | None
) -> None:
    assert last_meaning(acts(*story)) is expected


def test_clocks_are_plain_numbers_in_events() -> None:
    assert Clocks(queue=1.23456789, interruptions=2).to_dict()["queue"] == 1.235

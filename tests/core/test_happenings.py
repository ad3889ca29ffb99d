"""What people hear of follows from the timeline: each interruption once, and no end taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.happenings import (
    INTERRUPTION,
    LONG_QUEUE,
    RESUME,
    STALL,
    Happening,
    changes,
    new_changes,
    queueing_since,
    sentence,
)
from airflow_runai.core.phases import PHASES
from airflow_runai.core.timeline import UNSEEN, Moment, clocks


def _moments(*phases: str) -> list[Moment]:
    told = (phase.partition(":") for phase in phases)
    return [Moment(10.0 * i, phase, words) for i, (phase, _, words) in enumerate(told)]


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([], []),
        (["Pending", "Initializing", "Running", "Completed"], []),
        (["Running", "Terminating", "Completed"], []),
        (["Running", "Terminating:Preempted"], []),
        (["Running", "Terminating:Preempted", "Pending"], [(INTERRUPTION, 20, True)]),
        (["Running", "Pending:Preempted by b"], [(INTERRUPTION, 10, True)]),
        (["Running", "Stopping", "Stopped"], [(INTERRUPTION, 10, False)]),
        (
            ["Running", "Pending", "Initializing", "Running", "Pending:preempted", "Running"],
            [
                (INTERRUPTION, 10, False),
                (RESUME, 30, False),
                (INTERRUPTION, 40, True),
                (RESUME, 50, False),
            ],
        ),
        (["Running", "Unknown", "Running"], []),
        (["Running", "Degraded", "Running"], []),
        (["Running", "Failed"], []),
    ],
)
def test_changes(phases: list[str], expected: list[tuple[str, float, bool]]) -> None:
    assert [one[:3] for one in changes(_moments(*phases))] == expected


timelines = st.lists(
    st.tuples(st.sampled_from([*PHASES, "Odd"]), st.sampled_from(["", "Preempted"])), max_size=15
).map(lambda told: [Moment(float(i), phase, words) for i, (phase, words) in enumerate(told)])


@pytest.mark.slow
@given(timelines)
def test_as_many_interruptions_as_the_clocks_count(timeline: list[Moment]) -> None:
    found = [one for one in changes(timeline) if one.kind == INTERRUPTION]
    counted = clocks(timeline, len(timeline))
    assert len(found) == counted.interruptions


@given(timelines, st.integers(0, 15))
def test_new_ones_are_those_after_the_bound(timeline: list[Moment], bound: int) -> None:
    new = new_changes(timeline, float(bound))
    assert new == tuple(one for one in changes(timeline) if one.at > bound)


@pytest.mark.parametrize(
    ("phases", "since"),
    [
        ([], None),
        (["Creating", "Pending"], 0),
        ([UNSEEN, "Pending"], 10),
        (["Pending", "Initializing"], None),
        (["Running", "Terminating", "Pending"], 20),
        (["Running", "Pending", "Unknown"], 10),
        (["Stopped", "Resuming", "Pending"], 10),
        (["Stopped"], None),
        (["Running"], None),
    ],
)
def test_queueing_since(phases: list[str], since: float | None) -> None:
    assert queueing_since(_moments(*phases)) == since


PREEMPTED, INTERRUPTED = Happening(INTERRUPTION, 0.0, True), Happening(INTERRUPTION, 0.0)


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        ([PREEMPTED], "t was preempted; it is Pending now"),
        ([PREEMPTED] * 20, "t was preempted 20 times; it is Pending now"),
        ([INTERRUPTED], "t was interrupted; it is Pending now"),
        (
            [INTERRUPTED, PREEMPTED, INTERRUPTED],
            "t was interrupted 3 times, 1 of them by preemption; it is Pending now",
        ),
        ([Happening(RESUME, 0.0)], "t ran again; it is Pending now"),
        ([Happening(RESUME, 0.0)] * 2, "t ran again 2 times; it is Pending now"),
        ([Happening(STALL, 0.0, reason="no node")], "t stalled: no node"),
        ([Happening(LONG_QUEUE, 0.0)], "t has been waiting for GPUs for 1 h 1 min"),
    ],
)
def test_sentences(happened: list[Happening], words: str) -> None:
    assert sentence("t", happened, "Pending", 3700.0) == words

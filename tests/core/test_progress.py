from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.decision import KeepWaiting, Snapshot, WaitPolicy, decide
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.progress import (
    StepProgress,
    Track,
    estimate,
    idle_seconds,
    out_of_sight,
    runs_since,
    sentence,
    sighted,
)
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.workload import Workload
from tests.core.stage import NOON, acts

HOUR = 3600.0


def track_of(*looks: tuple[int, float], is_fresh: bool = True) -> Track:
    """Looks as (step, running seconds since the wait began)."""
    track: Track | None = None
    for step, ran in looks:
        track = sighted(track, step, at=NOON + ran, ran=ran, is_fresh=is_fresh)
    assert track is not None
    return track


def test_pace_and_finish_with_and_without_interruptions() -> None:
    track = track_of((100, 0.0), (200, HOUR))
    found = estimate(track, 500, now=NOON, ran=1.5 * HOUR, waited=0.5 * HOUR)
    assert found.per_hour == 100.0
    assert found.finish == NOON + 2.5 * HOUR
    assert found.finish_with_waits == pytest.approx(NOON + 2.5 * HOUR * 2.0 / 1.5)
    assert sentence(found, NOON) == (
        "step 200 of 500; 100 steps an hour while running; complete in 2.5 h, or in 3.3 h with "
        "interruptions as so far"
    )


@pytest.mark.parametrize(
    ("track", "target", "has_pace"),
    [
        (track_of((100, 0.0)), 500, False),
        (track_of((100, 0.0), (200, HOUR)), None, True),
        (track_of((100, 0.0), (500, HOUR)), 500, True),
        (track_of((100, 5.0), (200, 5.0)), 500, False),
    ],
    ids=["one step", "no target", "reached", "no time between"],
)
def test_what_cannot_be_known_is_not_said(track: Track, target: int | None, has_pace: bool) -> None:
    found = estimate(track, target, now=NOON, ran=HOUR, waited=0.0)
    assert (found.per_hour is not None) == has_pace
    assert found.finish is found.finish_with_waits is None
    assert "complete" not in sentence(found, NOON)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, HOUR)), min_size=1, max_size=8),
    st.none() | st.integers(1, 10**6),
    st.floats(0, 10 * HOUR),
)
def test_no_finish_lies_in_the_past_and_interruptions_only_delay_it(
    looks: list[tuple[int, float]], target: int | None, waited: float
) -> None:
    ran, track = 0.0, None
    for step, seconds in looks:
        ran += seconds
        track = sighted(track, step, at=NOON + ran, ran=ran, is_fresh=False)
    assert track is not None
    assert track.first <= track.step == looks[-1][0]
    found = estimate(track, target, now=NOON, ran=ran, waited=waited)
    if found.finish is not None and found.finish_with_waits is not None:
        assert NOON <= found.finish <= found.finish_with_waits
    assert json.loads(json.dumps(found.to_json())) == found.to_json()
    assert StepProgress.from_json(found.to_json()) is not None


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, {"step": "7"}])
def test_what_is_no_progress_is_none(value: object) -> None:
    assert StepProgress.from_json(value) is None


def test_the_first_sight_counts_only_if_the_checkpoint_is_of_this_run() -> None:
    assert track_of((100, 5.0), is_fresh=False).at is None
    assert track_of((100, 5.0), is_fresh=True).at == NOON + 5
    assert track_of((100, 5.0), (110, 9.0), is_fresh=False).at is None


def test_a_step_of_an_earlier_run_that_is_seen_late_starts_no_clock() -> None:
    track = track_of((100, 0.0))
    late = sighted(track, 200, at=NOON + 30, ran=30.0, is_fresh=False)
    assert (late.step, late.at) == (200, None)


def test_a_run_that_fell_back_counts_from_there() -> None:
    track = track_of((800, 0.0), (900, 100.0))
    fallen = sighted(track, 510, at=NOON + 200, ran=200.0, is_fresh=True)
    assert (fallen.step, fallen.at) == (510, NOON + 200)
    on = sighted(fallen, 520, at=NOON + 300, ran=300.0, is_fresh=True)
    assert estimate(on, None, now=NOON, ran=300.0, waited=0.0).per_hour == 360.0


def test_nothing_stalls_after_the_last_step() -> None:
    timeline = acts((0, "Running"))
    reached = StepProgress(100, NOON + 10, target=100)
    assert idle_seconds(reached, timeline, NOON + 9999) is None
    assert idle_seconds(replace(reached, target=101), timeline, NOON + 9999) == 9989


def test_out_of_sight_nothing_counts_until_it_is_seen_again() -> None:
    lost = out_of_sight(track_of((100, 5.0)))
    assert lost is not None
    assert lost.at is None
    assert sighted(lost, 100, at=NOON + 99, ran=99, is_fresh=False).at is None
    assert sighted(lost, 100, at=NOON + 99, ran=99, is_fresh=True).at == NOON + 99
    assert out_of_sight(None) is None


RUN = ((0, "Creating"), (10, "Running"))
#: The rest of a history, when the newest step was seen, and for how long it is idle at 1000 s.
IDLE: dict[str, tuple[tuple[Any, ...], float | None, float | None]] = {
    "it runs": ((), 400, 600),
    "no step seen": ((), None, None),
    "preempted": (((500, "Pending", "Preempted"),), 400, None),
    "queued": (((500, "Pending"), (600, "Initializing")), 400, None),
    "first step of an incarnation": (((500, "Pending"), (600, "Running")), 400, None),
    "after the first step of an incarnation": (((500, "Pending"), (600, "Running")), 700, 300),
    "degraded runs on": (((500, "Degraded"),), 400, 600),
    "a phase that nobody knows": (((500, "Vanishing"), (600, "Running")), 400, 600),
    "completed": (((500, "Completed"),), 400, None),
}


def seen(case: str) -> tuple[Snapshot, float | None]:
    rest, at, idle = IDLE[case]
    timeline = acts(*RUN, *rest)
    progress = StepProgress(7, None if at is None else NOON + at)
    workload = Workload("w-1", "train-g1", timeline[-1].phase)
    return Snapshot(workload, timeline, NOON + 1000, progress=progress), idle


@pytest.mark.parametrize("case", IDLE)
def test_the_clock_is_silent_unless_it_runs_after_a_step_of_this_incarnation(case: str) -> None:
    snapshot, idle = seen(case)
    assert idle_seconds(snapshot.progress, snapshot.timeline, snapshot.taken_at) == idle


@pytest.mark.parametrize("case", [case for case in IDLE if case != "completed"])
@pytest.mark.parametrize("limit", [100.0, 900.0])
def test_beyond_its_timeout_it_is_stalled(case: str, limit: float) -> None:
    snapshot, idle = seen(case)
    found = decide(WaitPolicy(timeouts=Timeouts(progress=limit)), snapshot)
    if idle is not None and idle >= limit:
        assert isinstance(found, Outcome)
        assert found.status == "stalled"
        assert found.reason == (
            f"no checkpoint after step 7 for {idle:.0f} s; the timeout for progress is {limit:.0f} s"
        )
        assert found.progress == snapshot.progress
        return
    runs = snapshot.workload.phase in ("Running", "Degraded")
    assert found == KeepWaiting(limit - (idle or 0.0) if runs else math.inf)


@given(st.floats(0, 5000), st.floats(0, 5000))
def test_a_new_step_only_postpones(earlier: float, later: float) -> None:
    snapshot, _ = seen("it runs")
    policy = WaitPolicy(timeouts=Timeouts(progress=300.0))
    first, second = sorted((earlier, later))

    def left(at: float) -> float:
        found = decide(policy, replace(snapshot, progress=StepProgress(7, NOON + 10 + at)))
        return found.seconds if isinstance(found, KeepWaiting) else 0.0

    assert left(first) <= left(second)


def test_a_blind_wait_stalls_nothing() -> None:
    snapshot, _ = seen("it runs")
    policy = WaitPolicy(timeouts=Timeouts(progress=100.0))
    assert isinstance(decide(policy, replace(snapshot, blind=True)), KeepWaiting)
    assert isinstance(decide(policy, replace(snapshot, past_unread=True)), KeepWaiting)


def test_a_run_begins_with_its_first_running_phase() -> None:
    assert runs_since(acts(*RUN, (50, "Degraded"), (60, "Running"))) == NOON + 10
    assert runs_since(acts((0, "Creating"))) is None
    assert runs_since(()) is None

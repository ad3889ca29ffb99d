from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.decision import (
    ABSENCE_SECONDS,
    KeepWaiting,
    Snapshot,
    WaitPolicy,
    decide,
)
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.phases import PHASES, Meaning, meaning
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.workload import Workload
from tests.core.stage import NOON, acts

ENDS = {"Completed": "succeeded", "Failed": "failed", "Deleting": "gone"}
UNKNOWN = ["Unknown", "Preempted", "", "Evaporating", "completed", "FAILED"]
ALL_LIMITS = Timeouts(**{item.name: 50.0 for item in fields(Timeouts)})


def snapshot(*story: Any, at: float = 1000, **changes: Any) -> Snapshot:
    timeline = acts(*story)
    last = timeline[-1]
    seen = Snapshot(
        Workload("w-1", "train-g1", last.phase, message=last.message), timeline, NOON + at
    )
    return replace(seen, **changes)


def ran_then(phase: str, at: float = 1000, **changes: Any) -> Snapshot:
    return snapshot((0, "Creating"), (10, "Running"), (100, phase), at=at, **changes)


def keeps(found: KeepWaiting | Outcome) -> KeepWaiting:
    assert isinstance(found, KeepWaiting), found
    return found


def ends(found: KeepWaiting | Outcome) -> Outcome:
    assert isinstance(found, Outcome), found
    return found


@pytest.mark.parametrize("phase", PHASES)
def test_without_limits_only_final_phases_end_a_wait(phase: str) -> None:
    found = decide(WaitPolicy(), ran_then(phase))
    assert (found.status if isinstance(found, Outcome) else None) == ENDS.get(phase)


@pytest.mark.parametrize("phase", PHASES)
def test_suspension_ends_a_wait_only_where_asked(phase: str) -> None:
    found = decide(WaitPolicy(when_suspended="end"), ran_then(phase))
    expected = "stopped" if meaning(phase) is Meaning.SUSPENDED else ENDS.get(phase)
    assert (found.status if isinstance(found, Outcome) else None) == expected


TICKING = {
    Meaning.RUNNING: {"running"},
    Meaning.WAITING: {"interruption", "interrupted_total"},
    Meaning.STARTING: {"interruption", "interrupted_total", "starting"},
    Meaning.SUSPENDED: {"interruption", "interrupted_total"},
    Meaning.LEAVING: {"interruption", "interrupted_total", "starting"},
    Meaning.UNKNOWN: set[str](),
}


@pytest.mark.parametrize("limit", [item.name for item in fields(Timeouts)])
@pytest.mark.parametrize("phase", [p for p in [*PHASES, *UNKNOWN] if p not in ENDS])
def test_a_limit_ends_a_wait_only_while_its_clock_ticks(phase: str, limit: str) -> None:
    ticking = (
        {"total"}
        | TICKING[meaning(phase)]
        | ({"starting"} if phase in ("Creating", "Resuming") else set())
    )
    found = decide(WaitPolicy(timeouts=Timeouts(**{limit: 50.0})), ran_then(phase))
    expected = ("stalled" if limit == "starting" else "timed_out") if limit in ticking else None
    assert (found.status if isinstance(found, Outcome) else None) == expected
    if isinstance(found, Outcome):
        assert limit in found.reason
        assert "50 s" in found.reason


def test_the_queue_limit_ends_what_never_ran() -> None:
    found = ends(
        decide(WaitPolicy(timeouts=Timeouts(queue=900)), snapshot((0, "Creating"), (5, "Pending")))
    )
    assert (found.status, found.reason) == (
        "timed_out",
        "the queue clock reached 1000 s; its timeout is 900 s",
    )


def test_what_runs_is_not_stopped_for_having_queued_too_long_unseen() -> None:
    late = snapshot((0, "Pending"), (900, "Running"))
    assert (
        keeps(decide(WaitPolicy(timeouts=Timeouts(queue=600, interruption=1)), late)).seconds
        == math.inf
    )


@pytest.mark.slow
@given(st.text(max_size=12).filter(lambda p: p not in PHASES), st.floats(1, 1e9))
def test_an_unknown_phase_is_never_final(phase: str, seconds: float) -> None:
    timeouts = replace(ALL_LIMITS, total=None)
    seen = snapshot((0, "Pending"), (1, "Running"), (2, phase), at=seconds)
    assert isinstance(
        decide(WaitPolicy(timeouts=timeouts, when_suspended="end"), seen), KeepWaiting
    )


@pytest.mark.parametrize("phase", [p for p in [*PHASES, *UNKNOWN] if p not in ENDS])
@pytest.mark.parametrize("unseen", [{"blind": True}, {"absent_since": NOON + 999}])
def test_a_limit_that_could_not_be_enforced_ends_no_wait(
    phase: str, unseen: dict[str, Any]
) -> None:
    assert isinstance(
        decide(WaitPolicy(timeouts=ALL_LIMITS), ran_then(phase, **unseen)), KeepWaiting
    )


def test_a_deadline_ends_a_wait_even_blind_but_no_finished_workload() -> None:
    policy = WaitPolicy(deadline=NOON + 500)
    assert ends(decide(policy, ran_then("Running", blind=True))).status == "timed_out"
    assert ends(decide(policy, ran_then("Completed"))).status == "succeeded"
    assert keeps(decide(policy, ran_then("Running", at=480))).seconds == 20


@pytest.mark.parametrize(
    ("absent", "blind", "gone"), [(0, False, False), (599, False, False), (600, False, True)]
)
def test_absence_must_last_before_it_is_believed(absent: float, blind: bool, gone: bool) -> None:
    assert ABSENCE_SECONDS == 600
    seen = ran_then("Running", absent_since=NOON + 1000 - absent, blind=blind)
    found = decide(WaitPolicy(), seen)
    assert (isinstance(found, Outcome) and found.status == "gone" and found.absent) is gone


def test_absence_is_not_believed_while_nobody_answers() -> None:
    seen = ran_then("Running", absent_since=NOON, blind=True)
    assert isinstance(decide(WaitPolicy(), seen), KeepWaiting)


def test_what_finished_and_was_then_removed_has_finished() -> None:
    story = ((0, "Creating"), (10, "Running"), (100, "Completed"), (200, "Deleting"))
    found = ends(decide(WaitPolicy(), snapshot(*story)))
    assert (found.status, found.ended_at, found.clocks.total) == ("succeeded", NOON + 100, 100)
    gone = replace(ran_then("Running"), workload=Workload("w-1", "n", "Running", deleted=True))
    assert (ends(decide(WaitPolicy(), gone)).status, ends(decide(WaitPolicy(), gone)).ended_at) == (
        "gone",
        NOON + 1000,
    )


@pytest.mark.parametrize(
    ("timeouts", "phase", "at", "seconds"),
    [
        ({}, "Running", 100, math.inf),
        ({"running": 100}, "Running", 90, 20),
        ({"running": 100}, "Running", 109.5, 1),
        ({"total": 1000}, "Running", 985, 15),
        ({"running": 90.5}, "Pending", 500, math.inf),  # its clock stands still: no hurry
        ({"queue": 10.2}, "Running", 500, math.inf),
        ({"starting": 50}, "Initializing", 145, 5),
        ({"interruption": 500}, "Pending", 590, 10),
    ],
)
def test_only_news_can_end_a_wait_before_the_nearest_limit(
    timeouts: dict[str, float], phase: str, at: float, seconds: float
) -> None:
    seen = (
        ran_then(phase, at=at)
        if phase != "Running"
        else snapshot((0, "Creating"), (10, "Running"), at=at)
    )
    assert keeps(decide(WaitPolicy(timeouts=Timeouts(**timeouts)), seen)).seconds == pytest.approx(
        seconds
    )


@given(
    st.sampled_from(sorted(PHASES)), st.floats(101, 5000), st.floats(1, 600), st.floats(10, 6000)
)
def test_a_pause_ends_with_the_nearest_limit_and_never_hurries_below_a_second(
    phase: str, at: float, interval: float, limit: float
) -> None:
    timeouts = Timeouts(limit, limit, limit, limit, limit, limit)
    found = decide(WaitPolicy(interval, timeouts), ran_then(phase, at=at))
    if isinstance(found, KeepWaiting):
        assert found.seconds >= 1.0
        assert found.seconds <= limit or found.seconds == math.inf


def test_the_words_of_the_platform_are_in_the_reason() -> None:
    failed = snapshot((0, "Running"), (5, "Failed", "OOMKilled"))
    assert ends(decide(WaitPolicy(), failed)).reason == "failed: OOMKilled"


@pytest.mark.parametrize("name", [item.name for item in fields(Timeouts)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_that_cannot_be_kept_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"timeouts\.{name}: .*greater than 0"):
        Timeouts(**{name: value})


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="poll_interval: 0; allowed"):
        WaitPolicy(poll_interval=0)
    with pytest.raises(ValueError, match="when_suspended: 'stop'; allowed: 'wait' or 'end'"):
        WaitPolicy(when_suspended="stop")


@pytest.mark.parametrize(
    ("timeouts", "created", "seconds"),
    [
        ({}, NOON, math.inf),
        ({"queue": 1500, "interruption": 4000}, NOON, 500),
        ({"interruption": 999}, NOON, 1),  # due already: the wait asks for the past
        ({"total": 1500}, 0.0, 1),  # who does not know the creation knows no bound
    ],
)
def test_while_the_past_is_unread_no_clock_ends_a_wait_and_none_is_missed(
    timeouts: dict[str, float], created: float, seconds: float
) -> None:
    seen = ran_then("Pending", past_unread=True)
    seen = replace(seen, workload=replace(seen.workload, created_at=created))
    assert keeps(decide(WaitPolicy(timeouts=Timeouts(**timeouts)), seen)).seconds == seconds


def test_what_cannot_be_found_is_looked_for_again_without_news() -> None:
    seen = ran_then("Running", absent_since=NOON + 999)
    assert keeps(decide(WaitPolicy(), seen)).seconds == ABSENCE_SECONDS / 10

"""How a training ends, and what interrupts it."""

from __future__ import annotations

import pytest

from airflow_runai.core.decision import WaitPolicy
from tests.contract.rig import MakeRig, Rig, Script, name_of
from tests.contract.waits import least, look, off, outcome_of, submit


def test_runs_to_success(rig: Rig) -> None:
    outcome = outcome_of(rig, submit(rig))
    assert (outcome.status, outcome.clocks.interruptions) == ("succeeded", 0)
    assert off(rig, outcome.clocks.running, 100, 3) == 0
    assert [m.phase for m in outcome.timeline][-2:] == ["Running", "Completed"]


def test_fails_with_exit_code(rig: Rig) -> None:
    """Weaker on R: REST tells no exit code, so the platform's words must do."""
    rig.play(Script(seconds=20, exit_code=3))
    outcome = outcome_of(rig, submit(rig, backoff_limit=0))
    assert outcome.status == "failed"
    assert outcome.reason == rig.words["spent"]


def test_fails_then_succeeds_within_budget(rig: Rig) -> None:
    rig.play(Script(seconds=30, exits={1: (10, 1), 2: (10, 1)}))
    outcome = outcome_of(rig, submit(rig, backoff_limit=2))
    assert outcome.status == "succeeded"
    assert rig.names() == [name_of()]


def test_failure_budget_exceeded_fails_once(rig: Rig) -> None:
    rig.play(Script(seconds=10, exit_code=1))
    outcome = outcome_of(rig, submit(rig, backoff_limit=1))
    assert (outcome.status, rig.names()) == ("failed", [name_of()])


def test_queued_then_runs_queue_clock(rig: Rig) -> None:
    rig.rival(2)
    submit(rig, "train-1-g1", compute={"gpu_devices": 2})
    outcome = outcome_of(rig, submit(rig, compute={"gpu_devices": 2}))
    assert outcome.status == "succeeded"
    assert off(rig, outcome.clocks.queue, 100, 20) == 0


def test_reclaimed_and_resumed_is_one_preemption(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(30)
    look(rig, made)  # where pods are forgotten, only those count that somebody has seen
    rig.reclaim(name_of())
    outcome = outcome_of(rig, made)
    counted = outcome.clocks.interruptions, outcome.clocks.preemptions
    assert (outcome.status, counted) == ("succeeded", (1, 1))
    assert outcome.clocks.interrupted_total > least(rig, 0)


def test_preempted_three_times_never_fails(rig: Rig) -> None:
    rig.play(Script(seconds=300))
    made = submit(rig, backoff_limit=0)
    for seconds in (20, 60, 140):
        rig.after(seconds, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.preemptions) == ("succeeded", 3)


def test_preemptions_leave_failure_budget_alone(rig: Rig) -> None:
    rig.play(Script(seconds=100, exits={3: (5, 1)}))
    made = submit(rig, backoff_limit=1)
    for seconds in (20, 60):
        rig.after(seconds, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.preemptions) == ("succeeded", 2)


def test_failure_and_preemption_are_told_apart(rig: Rig) -> None:
    rig.play(Script(seconds=60, exits={1: (10, 1)}))
    made = submit(rig, backoff_limit=1)
    rig.after(40, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.preemptions) == ("succeeded", 1)


def test_evicted_and_exits_zero_is_no_success(rig: Rig) -> None:
    rig.play(Script(seconds=None, stop_seconds=5, stop_exit_code=0))
    made = submit(rig)
    rig.after(40, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert outcome.status == "failed"
    assert rig.words["cut short"] in outcome.reason


def test_ignores_sigterm_killed_after_grace(rig: Rig) -> None:
    rig.play(Script(seconds=100, stop_seconds=10_000))
    made = submit(rig, termination_grace_period=60)
    rig.after(30, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.preemptions) == ("succeeded", 1)
    assert outcome.clocks.interrupted_total >= least(rig, 60)


def test_eviction_without_words_is_interruption_not_preemption(rig: Rig) -> None:
    made = submit(rig)
    rig.after(30, lambda: rig.evict_without_words(name_of()))
    outcome = outcome_of(rig, made)
    counted = outcome.clocks.interruptions, outcome.clocks.preemptions
    assert (outcome.status, counted) == ("succeeded", (1, 0))


@pytest.mark.needs("nodes")
def test_node_lost_is_interruption(rig: Rig) -> None:
    made = submit(rig, backoff_limit=0)
    rig.after(40, rig.lose_node)
    outcome = outcome_of(rig, made)
    counted = outcome.clocks.interruptions, outcome.clocks.preemptions
    assert (outcome.status, counted, rig.names()) == ("succeeded", (1, 0), [name_of()])


def test_suspended_by_person_is_waited_for(rig: Rig) -> None:
    made = submit(rig)
    rig.after(20, lambda: rig.person(rig.backend.suspend(made)))
    rig.after(600, lambda: rig.person(rig.backend.resume(made)))
    outcome = outcome_of(rig, made)
    assert outcome.status == "succeeded"
    assert off(rig, outcome.clocks.interrupted_total, 580, 20) == 0


def test_suspended_by_person_ends_when_asked(rig: Rig) -> None:
    made = submit(rig)
    rig.after(20, lambda: rig.person(rig.backend.suspend(made)))
    outcome = outcome_of(rig, made, WaitPolicy(15.0, when_suspended="end"))
    assert outcome.status == "stopped"
    assert not rig.lives(name_of())


def test_resumed_counts_one_interruption(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(20)
    look(rig, made)
    rig.run(rig.backend.suspend(made))
    rig.pass_time(60)
    rig.run(rig.backend.suspend(made))
    rig.run(rig.backend.resume(made))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.interruptions) == ("succeeded", 1)


def test_deleted_by_person_is_gone(rig: Rig) -> None:
    made = submit(rig)
    rig.after(20, lambda: rig.person(rig.backend.delete(made)))
    assert outcome_of(rig, made).status == "gone"


@pytest.mark.needs("past of the deleted")
def test_removed_after_success_is_success(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(200)
    rig.run(rig.backend.delete(made))
    rig.pass_time(60)
    assert outcome_of(rig, made).status == "succeeded"


def test_non_preemptible_is_never_reclaimed(rig: Rig) -> None:
    made = submit(rig, compute={"gpu_devices": 2}, preemptibility="non-preemptible")
    rig.rival(2)
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.interruptions) == ("succeeded", 0)


def test_replacement_starts_only_after_old_is_gone(rig: Rig) -> None:
    rig.play(Script(seconds=100, stop_seconds=40))
    made = submit(rig, termination_grace_period=60)
    rig.after(30, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    first, second = [moment.at for moment in outcome.timeline if moment.phase == "Running"]
    assert second - first >= least(rig, 68)  # 30 s of work, 40 s in which the old one still wrote
    assert (outcome.status, rig.names()) == ("succeeded", [name_of()])


def test_preempted_by_priority_in_own_project(rig: Rig) -> None:
    rig.rival(2)
    made = submit(rig, compute={"gpu_devices": 2}, priority="low")
    rig.pass_time(30)
    look(rig, made)
    submit(rig, name_of(digest="9876543210"), compute={"gpu_devices": 2}, priority="high")
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.preemptions) == ("succeeded", 1)
    assert outcome.clocks.interrupted_total >= least(rig, 90)


@pytest.mark.needs("slow start")
def test_evicted_while_starting(make_rig: MakeRig) -> None:
    rig = make_rig(initializing_seconds=60)
    made = submit(rig)
    rig.after(20, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.interruptions) == ("succeeded", 0)
    assert outcome.clocks.queue >= least(rig, 80)


def test_terminate_after_preemption_ends(rig: Rig) -> None:
    made = submit(rig, terminate_after_preemption=True)
    # Not while a poll may come: one that finds the pod still ending leaves it to the next.
    rig.after(24, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.interruptions) == ("failed", 0)
    assert rig.words["preempted"] in outcome.reason
    assert not rig.lives(name_of())

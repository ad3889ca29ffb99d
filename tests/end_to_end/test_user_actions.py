"""What a user does to a deferred task reaches its workload, and only what a user does."""

from __future__ import annotations

import pytest

from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start
from tests.support.waiting import wait_until

#: Within how many seconds the workload must feel what a user did to its task.
CASES = {
    "failed": "waiting",
    "success": "waiting",
    "run failed": "waiting",
    "cleared": "waiting",
    "cleared to reattach": "waiting_reattach",
    "failed to suspend": "waiting_suspend",
    "failed to keep": "waiting_keep",
}


@pytest.fixture(scope="module")
def runs(start: Start) -> dict[str, tuple[Site, Run]]:
    """One training for each case, all started at once to save time."""
    return {case: start(dag_id) for case, dag_id in CASES.items()}


@pytest.mark.parametrize("state", ["failed", "success"])
def test_marking_a_deferred_task_stops_its_workload(
    runs: dict[str, tuple[Site, Run]], state: str
) -> None:
    here, run = runs[state]
    workload = here.runs_deferred(run)
    run.mark(state)
    wait_until(lambda: workload.deleted_at, "the workload is stopped and deleted")
    assert run.task()["state"] == state
    assert here.only_workload(run).incarnation == 1


def test_failing_a_whole_run_stops_its_workload_though_each_look_takes_longer_than_airflow_waits(
    runs: dict[str, tuple[Site, Run]],
) -> None:
    here, run = runs["run failed"]
    workload = here.runs_deferred(run)
    # Airflow cancels what it calls after about one second; the stop has to outlive that.
    here.emulator.faults.add(
        "slow", method="GET", path="/api/v1/workloads/*", seconds=3, times=None
    )
    run.end("failed")
    wait_until(lambda: workload.deleted_at, "the workload is stopped and deleted")
    assert here.only_workload(run) is workload


def test_on_kill_keep_and_suspend_leave_a_running_and_a_suspended_workload(
    runs: dict[str, tuple[Site, Run]],
) -> None:
    (keeper, kept_by), (suspender, suspended_by) = runs["failed to keep"], runs["failed to suspend"]
    kept, suspended = keeper.runs_deferred(kept_by), suspender.runs_deferred(suspended_by)
    kept_by.mark("failed")
    suspended_by.mark("failed")
    # The triggerer hears of both in this order: when the second has acted, the first has had its
    # chance.
    wait_until(lambda: suspended.phase == "Stopped", "the workload is suspended")
    assert suspender.only_workload(suspended_by).deleted_at is None
    assert keeper.only_workload(kept_by) is kept
    assert (kept.phase, keeper.phases(kept).count("Running")) == ("Running", 1)


def test_clearing_with_restart_ends_the_old_workload_before_the_second_generation(
    runs: dict[str, tuple[Site, Run]],
) -> None:
    here, run = runs["cleared"]
    first = here.runs_deferred(run)
    run.clear()
    second = wait_until(lambda: next(iter(here.workloads(run)[1:]), None), "a second generation")
    assert (first.name[-3:], second.name[-3:]) == ("-g1", "-g2")
    assert first.deleted_at is not None
    assert first.deleted_at <= second.created_at
    assert here.runs_deferred(run) is second
    here.finish()
    run.succeeds()
    assert (run.xcom()["workload_id"], run.task()["try_number"]) == (second.id, 2)
    assert here.workloads(run) == [first, second]


def test_clearing_with_reattach_goes_on_with_the_same_workload(
    runs: dict[str, tuple[Site, Run]],
) -> None:
    here, run = runs["cleared to reattach"]
    workload = here.runs_deferred(run)
    run.clear()
    wait_until(lambda: run.task()["try_number"] == 2, "the second try")
    assert here.runs_deferred(run) is workload
    here.finish()
    run.succeeds()
    assert here.only_workload(run) is workload
    assert here.phases(workload).count("Running") == 1

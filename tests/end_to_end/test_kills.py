"""What a user ends, ends: where no task or trigger listens, and where the control plane does not answer."""

from __future__ import annotations

import pytest

from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start
from tests.end_to_end.test_worker_killed import MOMENTS, kill_worker
from tests.support.waiting import wait_until

#: Longer than any single attempt to end a workload, seconds.
OUTAGE = 40.0


Waits = dict[str, tuple[Site, Run]]


@pytest.fixture(scope="module")
def waits(start: Start) -> Waits:
    """Tasks whose worker died after the submission, an hour before their retry or on the only try; a deferred one."""
    fault = MOMENTS["after the note"].fault
    lost = {name: start("waiting_for_its_retry", **fault) for name in ("task marked", "run marked")}
    lost["only try"] = start("waiting_once", **fault)
    deferred = start()
    for name, (here, run) in lost.items():
        here.is_hit(f"the worker is held ({name})")
        kill_worker(run)
    return {**lost, "outage": deferred}


@pytest.fixture(scope="module")
def reaper(airflow: Airflow, waits: Waits) -> Run:
    """The reaper at work, which takes a minute, where a task has failed whose worker died."""
    here, run = waits["only try"]
    wait_until(lambda: run.task()["state"] == "failed", "the dead worker is noticed")
    return Run.start(airflow.rest, "reaping", connection=f"runai_{here.emulator.port}")


@pytest.mark.parametrize("what", ["task marked", "run marked"])
def test_mark_on_a_task_that_waits_for_its_retry_ends_its_workload(waits: Waits, what: str) -> None:
    here, run = waits[what]
    wait_until(lambda: run.task()["state"] == "up_for_retry", "the dead worker is noticed")
    workload = here.only_workload(run)
    assert workload.desired == "Running"
    run.mark("failed") if what == "task marked" else run.end("failed")
    wait_until(lambda: workload.deleted_at, "the workload is deleted")
    assert run.task()["state"] == ("failed" if what == "task marked" else "skipped")


@pytest.mark.usefixtures("reaper")
def test_mark_while_the_control_plane_is_away_ends_the_workload_afterwards(waits: Waits) -> None:
    here, run = waits["outage"]
    workload = here.runs_deferred(run)
    here.emulator.faults.add("status", status=503, times=None, lasts=OUTAGE)
    run.mark("failed")
    wait_until(lambda: workload.deleted_at, "the workload is deleted after the outage")
    assert run.task()["state"] == "failed"


def test_reaper_ends_the_workload_of_a_worker_that_died_on_the_last_try(
    waits: Waits, reaper: Run
) -> None:
    here, run = waits["only try"]
    reaper.succeeds("reap")
    workload = here.only_workload(run)
    assert workload.desired == "Deleted"
    (told,) = reaper.xcom("reap")
    assert (told["name"], told["run_id"], told["outcome"]) == (workload.name, run.run_id, "deleted")

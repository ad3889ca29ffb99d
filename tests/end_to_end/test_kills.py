"""What a user ends, ends: where no process of ours listens, and where the control plane does not answer."""

from __future__ import annotations

import pytest

from tests.end_to_end.polling import wait_until
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start
from tests.end_to_end.test_worker_killed import MOMENTS, kill_worker

#: Longer than any single attempt to end a workload, seconds.
OUTAGE = 40.0


@pytest.fixture(scope="module")
def waits(start: Start) -> dict[str, tuple[Site, Run]]:
    """Two tasks whose worker died after the submission and whose retry is an hour away, and a deferred one."""
    fault = MOMENTS["after the note"].fault
    lost = {name: start("waiting_for_its_retry", **fault) for name in ("task marked", "run marked")}
    deferred = start()
    for name, (here, run) in lost.items():
        here.is_hit(f"the worker is held ({name})")
        kill_worker(run)
    return {**lost, "outage": deferred}


@pytest.mark.parametrize("what", ["task marked", "run marked"])
def test_mark_on_a_task_that_waits_for_its_retry_ends_its_workload(
    waits: dict[str, tuple[Site, Run]], what: str
) -> None:
    here, run = waits[what]
    wait_until(lambda: run.task()["state"] == "up_for_retry", "the dead worker is noticed")
    workload = here.only_workload(run)
    assert workload.desired == "Running"
    run.mark("failed") if what == "task marked" else run.end("failed")
    wait_until(lambda: workload.deleted_at, "the workload is deleted")
    assert run.task()["state"] == ("failed" if what == "task marked" else "skipped")


def test_mark_while_the_control_plane_is_away_ends_the_workload_afterwards(waits: dict[str, tuple[Site, Run]]) -> None:
    here, run = waits["outage"]
    workload = here.runs_deferred(run)
    here.emulator.faults.add("status", status=503, times=None, lasts=OUTAGE)
    run.mark("failed")
    wait_until(lambda: workload.deleted_at, "the workload is deleted after the outage")
    assert run.task()["state"] == "failed"

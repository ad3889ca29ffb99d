"""Waiting in a worker: the same SIGTERM means two things, and only Airflow knows which."""

from __future__ import annotations

import os
import signal

from tests.end_to_end.site import Start
from tests.support.waiting import wait_until

DAG_ID = "waiting_in_worker"


def test_a_drained_worker_leaves_its_workload_to_the_next_try(start: Start) -> None:
    here, run = start(DAG_ID)
    workload = here.runs_deferred(run, "running")
    os.kill(run.task()["pid"], signal.SIGTERM)
    wait_until(lambda: run.task()["try_number"] == 2, "Airflow tries again")
    assert here.runs_deferred(run, "running") is workload
    here.finish()
    run.succeeds()
    assert here.only_workload(run) is workload
    assert here.phases(workload).count("Running") == 1


def test_marking_a_waiting_worker_failed_stops_its_workload(start: Start) -> None:
    here, run = start(DAG_ID)
    workload = here.runs_deferred(run, "running")
    run.mark("failed")
    wait_until(lambda: workload.deleted_at, "the workload is stopped and deleted")
    assert run.task()["state"] == "failed"
    assert here.only_workload(run).incarnation == 1

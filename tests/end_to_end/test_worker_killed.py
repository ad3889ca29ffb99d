"""
A worker that dies at any moment of the submission leaves exactly one workload.

The control plane holds a call or its answer, so that the worker dies in just that moment: task
process and supervisor at once, as when a node is lost. Airflow notices that the heartbeat is
missing, and tries again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start
from tests.support.waiting import wait_until

CREATE = {"method": "POST", "path": "/api/v1/workloads/trainings"}
FOR_EVER = 300.0
IN_WORKER = "waiting_in_worker"


@dataclass(frozen=True)
class Moment:
    """
    When to kill.

    :param fault: what holds the worker there.
    :param noted: whether the first try had noted its intent, and the workload's id.
    :param made: workloads at the moment of death.
    :param dag_id: whose task; one that waits in its worker is held by its first look, where others
        have deferred.
    """

    fault: dict[str, Any]
    noted: tuple[bool, bool]
    made: int
    dag_id: str = "waiting"

    @property
    def waits(self) -> str:
        """The state in which the task waits."""
        return "running" if self.dag_id == IN_WORKER else "deferred"


MOMENTS = {
    "before the create": Moment(
        {"kind": "slow", "method": "GET", "path": "/api/v1/org-unit/projects", "seconds": FOR_EVER},
        (False, False),
        0,
    ),
    "while the create is under way": Moment(
        {"kind": "slow", **CREATE, "seconds": FOR_EVER}, (True, False), 0
    ),
    "between create and note": Moment(
        {"kind": "lose_reply", **CREATE, "seconds": FOR_EVER}, (True, False), 1
    ),
    "after the note": Moment(
        {"kind": "slow", "method": "GET", "path": "/api/v1/workloads/*", "seconds": FOR_EVER},
        (True, True),
        1,
        IN_WORKER,
    ),
}


@pytest.fixture(scope="module")
def killed(start: Start) -> dict[str, tuple[Site, Run]]:
    """Start one training for each moment and kill its worker then; all at once, because dying takes time to notice."""
    runs = {name: start(moment.dag_id, **moment.fault) for name, moment in MOMENTS.items()}
    for name, (here, run) in runs.items():
        here.is_hit(f"the worker is held {name}")
        kill_worker(run)
        _check_the_moment(here, run, MOMENTS[name])
    return runs


def kill_worker(run: Run) -> None:
    task = psutil.Process(run.task()["pid"])
    supervisor = task.parent()
    assert supervisor is not None
    assert "LocalExecutor" in " ".join(supervisor.cmdline())
    supervisor.kill()
    task.kill()


def _check_the_moment(here: Site, run: Run, moment: Moment) -> None:
    note = run.note()
    assert (note is not None, bool(note and note["workload_id"])) == moment.noted
    assert len(here.workloads(run)) == moment.made


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_killed_leaves_exactly_one_workload(
    killed: dict[str, tuple[Site, Run]], moment: str
) -> None:
    here, run = killed[moment]
    wait_until(lambda: run.task()["try_number"] == 2, "Airflow tries again")
    workload = here.runs_deferred(run, MOMENTS[moment].waits)
    if moment == "while the create is under way":
        here.emulator.faults.clear()  # lets it go on
        wait_until(
            lambda: 400 in here.creates(), "the dead worker's create arrives after the retry's"
        )
    here.finish()
    run.succeeds()
    assert here.only_workload(run) is workload
    assert workload.name.endswith("-g1")
    assert run.xcom()["workload_id"] == workload.id
    assert run.task()["try_number"] == 2

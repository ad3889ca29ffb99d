"""A control plane that does not answer as it should says nothing about the workload: the task stays deferred."""

from __future__ import annotations

from typing import Any

import pytest

from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start
from tests.support.waiting import wait_until

OUTAGES: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "status": 503},
    "connection reset": {"kind": "reset"},
    "a gateway's page": {"kind": "html"},
    "every token rejected": {"kind": "status", "status": 401},
}
#: How often the trigger must have asked in vain; with pauses of 1, 2, 4 and 8 seconds.
FAILURES = 5
IN_VAIN = "its state is unknown"


@pytest.fixture(scope="module")
def places(start: Start) -> dict[str, tuple[Site, Run]]:
    """One training for each case, on a Run:ai of its own; all at once to save time."""
    runs = {name: start() for name in (*OUTAGES, "token revoked")}
    for here, run in runs.values():
        here.runs_deferred(run)
    return runs


@pytest.fixture(scope="module")
def after_outages(places: dict[str, tuple[Site, Run]]) -> dict[str, tuple[Site, Run]]:
    """Let all outages happen at once; meanwhile the trainings end, and nobody can see it."""
    cut_off = {name: places[name] for name in OUTAGES}
    for name, (here, _) in cut_off.items():
        here.emulator.faults.add(**OUTAGES[name], times=None)
    for here, run in cut_off.values():
        # Called at once, so that it does not matter that the loop moves on.
        wait_until(lambda: _refusals(here) >= FAILURES, "it asks in vain")  # noqa: B023
        assert run.task()["state"] == "deferred"
    for here, run in cut_off.values():
        here.finish()
        wait_until(lambda: here.only_workload(run).phase == "Completed", "it ends")  # noqa: B023
        assert run.task()["state"] == "deferred"
        here.emulator.faults.clear()
    return cut_off


def _refusals(here: Site) -> int:
    return sum(seen.status not in (200, 202) for seen in here.emulator.requests)


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_task_outlives_an_outage(
    airflow: Airflow, after_outages: dict[str, tuple[Site, Run]], outage: str
) -> None:
    here, run = after_outages[outage]
    run.succeeds()
    assert here.only_workload(run).deleted_at is None
    assert run.xcom()["workload_id"] == here.only_workload(run).id
    assert run.task()["try_number"] == 1
    assert IN_VAIN in airflow.trigger_logs(run)


def test_a_revoked_token_is_replaced_without_a_word(
    airflow: Airflow, places: dict[str, tuple[Site, Run]]
) -> None:
    here, run = places["token revoked"]
    here.emulator.plane.tokens.revoke()
    here.finish()
    run.succeeds()
    assert 401 in [seen.status for seen in here.emulator.requests]
    assert here.only_workload(run).phase == "Completed"
    assert IN_VAIN not in airflow.trigger_logs(run)

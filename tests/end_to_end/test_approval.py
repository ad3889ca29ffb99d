"""A person's say between evaluation and promotion, by Airflow's own operator."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Rest, Run
from tests.end_to_end.site import Site
from tests.support.waiting import wait_until

DAG_ID = "digits_approval"


@pytest.mark.qualify
@pytest.mark.parametrize(("answer", "promotion"), [("Approve", "success"), ("Reject", "skipped")])
def test_the_answer_decides_whether_the_evaluated_checkpoint_is_promoted(
    airflow: Airflow, examples: Site, answer: str, promotion: str
) -> None:
    airflow.rest.patch(f"/dags/{DAG_ID}", {"is_paused": False})
    (examples.shared / "approved.json").unlink(missing_ok=True)
    run = Run.start(airflow.rest, DAG_ID)
    asked = _question(airflow.rest, run)
    assert "accuracy" in asked["body"]
    assert run.task("retraining.promote")["state"] is None
    path = f"{run.path}/taskInstances/approve/-1/hitlDetails"
    airflow.rest.patch(path, {"chosen_options": [answer]})
    wait_until(lambda: run.state == "success", "the run ends")
    assert run.task("retraining.promote")["state"] == promotion
    promoted = examples.shared / "approved.json"
    assert promoted.exists() is (answer == "Approve")
    if promoted.exists():
        chosen = run.xcom("retraining.select")
        assert json.loads(promoted.read_text())["digest"] == chosen["digest"]


def _question(rest: Rest, run: Run) -> Any:
    """
    Return what the person reads, once the task waits and the scheduler knows.

    Airflow 3.3.2 loses a task that is answered before the scheduler has heard that its first
    process ended. No person is so quick.
    """
    wait_until(lambda: run.task("approve")["state"] == "awaiting_input", "the task waits")
    for _ in range(2):
        wait_until(partial(_is_after, rest, _heartbeat(rest)), "the scheduler goes on")
    return rest.get(f"{run.path}/taskInstances/approve/-1/hitlDetails")


def _is_after(rest: Rest, moment: Any) -> bool:
    return bool(_heartbeat(rest) != moment)


def _heartbeat(rest: Rest) -> Any:
    return rest.get("/monitor/health")["scheduler"]["latest_scheduler_heartbeat"]

"""A person's say between evaluation and promotion, by Airflow's own operator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Rest, Run
from tests.end_to_end.site import Site
from tests.support.waiting import wait_until

DAG_ID = "digits_approval"


@pytest.mark.parametrize(("answer", "promotion"), [("Approve", "success"), ("Reject", "skipped")])
def test_the_answer_decides_whether_the_evaluated_checkpoint_is_promoted(
    airflow: Airflow, examples: Site, answer: str, promotion: str
) -> None:
    airflow.rest.patch(f"/dags/{DAG_ID}", {"is_paused": False})
    (examples.shared / "approved.json").unlink(missing_ok=True)
    run = Run.start(airflow.rest, DAG_ID)
    asked = wait_until(lambda: _question(airflow.rest, run), "a person is asked")
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
    return rest.find(f"{run.path}/taskInstances/approve/-1/hitlDetails")

"""The example of successive halving in a real scheduler: deferred gates, skipped trials, rungs that go on."""

from __future__ import annotations

import pytest

from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site
from tests.support.waiting import wait_until

DAG_ID = "digits_halving"


@pytest.mark.qualify
def test_the_better_half_goes_on_from_its_checkpoints(airflow: Airflow, examples: Site) -> None:
    airflow.rest.patch(f"/dags/{DAG_ID}", {"is_paused": False})
    run = Run.start(airflow.rest, DAG_ID)
    wait_until(lambda: run.state in ("success", "failed"), "the run ends")
    assert run.state == "success"
    chosen = run.xcom("halving.best")
    rungs = [row["rung"] for row in chosen["trials"]]
    assert sorted(rungs) == [0, 0, 1, 1]
    assert rungs[chosen["trial"]] == 1
    states = {(task["task_id"], task["map_index"]): task["state"] for task in run.tasks()}
    for trial, rung in enumerate(rungs):
        went_on = "success" if rung else "skipped"
        assert states["halving.trial.rung-0.gate", trial] == went_on
        assert states["halving.trial.rung-1.evaluate", trial] == went_on
        assert states["halving.trial.end", trial] == "success"
    made = examples.workloads(run)
    assert len(made) == 2 * (len(rungs) + sum(rungs))
    resumed = [one for one in made if "resumed from step" in examples.emulator.log(one.name)]
    assert len(resumed) == sum(rungs)

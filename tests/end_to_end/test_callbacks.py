"""A function of a module is called by a real triggerer, and may ask Airflow for a connection there."""

from __future__ import annotations

import json
from pathlib import Path

from tests.end_to_end.installation import Airflow
from tests.end_to_end.site import begin, site
from tests.support.waiting import wait_until


def test_a_triggerer_calls_a_function_that_asks_airflow(airflow: Airflow, tmp_path: Path) -> None:
    told = tmp_path / "told"
    with site(tmp_path / "shared") as here:
        run = begin(airflow.rest, here, "waiting_told", told=str(told))
        workload = here.runs_deferred(run)
        here.preempt(workload)
        wait_until(told.exists, "somebody is told of the preemption")
        context = json.loads(told.read_text())
        assert context["host"] == here.emulator.url
        assert context["sentence"].startswith(f"{workload.name} was preempted; it is ")
        assert (context["dag_id"], context["run_id"]) == ("waiting_told", run.run_id)
        here.finish()
        run.succeeds()

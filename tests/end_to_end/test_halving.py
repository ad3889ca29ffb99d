"""Successive halving in a real scheduler: tasks of all rungs, gates that are deferred, skipped trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoints.samples import safetensors_file
from tests.end_to_end.installation import Airflow
from tests.end_to_end.site import begin, site
from tests.support.waiting import wait_until

#: Saves a checkpoint of the step at which it is told to stop; its rate is what it is worth.
SCRIPTS = {
    "train.sh": """#!/bin/sh
echo "from $(ls "$CHECKPOINTS" 2>/dev/null | tail -1) to ${2#*=}"
mkdir -p "$CHECKPOINTS/step-${2#*=}"
cp good.safetensors "$CHECKPOINTS/step-${2#*=}/model.safetensors"
echo "${1#*=}" > "$CHECKPOINTS/../rate"
""",
    "evaluate.sh": """#!/bin/sh
echo "{\\"accuracy\\": $(cat "$(dirname "$CHECKPOINT")/../rate")}" > "$METRICS.part"
mv "$METRICS.part" "$METRICS"
""",
}


@pytest.mark.qualify
def test_of_two_trials_the_better_one_goes_on_from_its_checkpoint(
    airflow: Airflow, tmp_path: Path
) -> None:
    with site(tmp_path / "shared") as here:
        (here.shared / "good.safetensors").write_bytes(safetensors_file())
        for name, text in SCRIPTS.items():
            (here.shared / name).write_text(text)
            (here.shared / name).chmod(0o755)
        run = begin(airflow.rest, here, "halving", shared=str(here.shared))
        wait_until(lambda: run.state in ("success", "failed"), "the run ends")
        assert run.state == "success"
        chosen = run.xcom("best")
        assert [(row["score"], row["rung"]) for row in chosen["trials"]] == [(0.1, 0), (0.2, 1)]
        states = {(task["task_id"], task["map_index"]): task["state"] for task in run.tasks()}
        assert [states["trial.rung-0.gate", trial] for trial in (0, 1)] == ["skipped", "success"]
        assert [states["trial.rung-1.train", trial] for trial in (0, 1)] == ["skipped", "success"]
        assert [states["trial.end", trial] for trial in (0, 1)] == ["success", "success"]
        logs = sorted(here.emulator.log(one.name).strip() for one in here.workloads(run))
        assert logs == ["", "", "", "from  to 1", "from  to 1", "from step-1 to 2"]

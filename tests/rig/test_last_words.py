"""What an evicted training says between SIGTERM and its end reaches the task log, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

# Before Airflow: it reads its home when it is first imported.
from tests.airflow.conftest import database, run

# isort: split
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Run, dag_of, meanwhile
from tests.airflow.test_logs import log_lines
from tests.contract.rivalry import KAI
from tests.rig.lanes import Lane
from tests.rig.waiting import until

__all__ = ["database", "run"]

pytestmark = [pytest.mark.rig, pytest.mark.slow]
#: Prints for 2 s after SIGTERM; the second time it ends at once.
TRAINING = """
test -e {mark} && exit 0
trap 'for part in 1 2 3 4 5 6 7 8; do echo "saving, part $part"; sleep 0.25; done; touch {mark}; exit 1' TERM
echo "epoch 1"
sleep 600 & wait
"""


@pytest.fixture(autouse=True)
def connection(rig_lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {
        "kube_config_path": str(rig_lane.cluster.kubeconfig()),
        "namespace": rig_lane.namespace,
        "project": rig_lane.queue,
        "runai_dialect": "kai",
        "node_type_label": "kubernetes.io/hostname",
    }
    described = json.dumps({"conn_type": "kubernetes", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", described)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_the_last_words_of_a_reclaimed_training_are_in_its_task_log(
    rig_lane: Lane,
    run: Callable[..., Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api, mark, script = rig_lane.cluster.api, tmp_path / "was-here", tmp_path / "train.sh"
    script.write_text(TRAINING.format(mark=mark))
    pods = f"/api/v1/namespaces/{rig_lane.namespace}/pods"
    jobs = f"/apis/batch/v1/namespaces/{rig_lane.namespace}/jobs"
    spec = {
        "image": "registry.example/train:1",
        "command": f"sh {script}",
        "compute": {"gpu_devices": 2},
        "node_type": rig_lane.name,
    }

    def reclaim() -> None:
        def has_begun() -> bool:
            found = [pod for pod in api.get(pods)["items"] if "train" in pod["metadata"]["name"]]
            return any(
                pod.get("status", {}).get("phase") == "Running"
                and "epoch 1" in api.ask("GET", f"{pods}/{pod['metadata']['name']}/log").text
                for pod in found
            )

        until(has_begun, "the training to begin")
        api.create(jobs, KAI.rival(rig_lane, "rival", 1))
        until(mark.exists, "its last words")
        api.delete(f"{jobs}/rival")

    def made() -> RunaiTrainingOperator:
        return RunaiTrainingOperator(
            task_id="task", spec=spec, workload_name="train", deferrable=True
        )

    with meanwhile(reclaim):
        done = run(dag_of(made))
    assert done.state == "success", done.words
    assert done.xcom()["preemptions"] == 1
    _, *words = log_lines(capsys)
    assert words[:9] == ["| epoch 1", *(f"| saving, part {part}" for part in range(1, 9))]

"""The example DAGs in a real Airflow: real training on real data, through a real preemption."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airflow_runai.emulator.records import EmulatedWorkload
from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Rest, Run
from tests.end_to_end.site import Site
from tests.support.waiting import wait_until

PIPELINE = ("digits_ingest", "digits_train_on_new_data", "digits_evaluate_checkpoint")
#: 30 epochs of 1437 digits in batches of 64.
LAST_STEP = 30 * 23


@pytest.fixture(scope="module")
def full(examples: Site) -> str:
    """Let team-b take the first node, so that a training can only get the second."""
    workload = examples.submit("team-b-first", "team-b", 2)
    wait_until(
        lambda: examples.emulator.world.workloads[workload].phase == "Running", "team-b runs"
    )
    return workload


def test_retraining_through_a_preemption_ends_in_a_promotion(
    airflow: Airflow, examples: Site, full: str
) -> None:
    run = _scheduled(airflow.rest, "digits_retraining")
    with examples.held(run, "epoch 5/30") as training:
        assert examples.runs_deferred(run) is training
        assert [
            (task["task_id"], task["state"])
            for task in run.tasks()
            if task["state"] not in (None, "none")
        ] == [("train", "deferred")]
        examples.submit("team-b-second", "team-b", 2)
    wait_until(lambda: training.phase == "Pending", "it is preempted")
    live = wait_until(lambda: _shows(run, "Pending"), "Airflow shows it while the task is deferred")
    assert any("reclaimed by project team-b" in moment["message"] for moment in live["timeline"])
    assert run.task()["state"] == "deferred"
    examples.delete(full)
    wait_until(lambda: run.state == "success", "the run succeeds")
    _check_training(run, examples, training)
    _check_promotion(run, examples)


def _check_training(run: Run, here: Site, training: EmulatedWorkload) -> None:
    first, second = (here.emulator.log(training.name, incarnation) for incarnation in (1, 2))
    stopped, resumed = (
        re.search(r"preempted at step (\d+)", first),
        re.search(r"resumed from step (\d+)", second),
    )
    assert stopped is not None, first
    assert resumed is not None, second
    assert stopped[1] == resumed[1]
    assert [re.search(r" on node (\S+)", log)[1] for log in (first, second)] == ["node-2", "node-1"]  # type: ignore[index]  # asserted by comparison
    result = run.xcom("train")
    assert (result["workload_id"], result["interruptions"], result["preemptions"]) == (
        training.id,
        1,
        1,
    )
    assert {task["task_id"]: task["try_number"] for task in run.tasks()} == dict.fromkeys(
        ("train", "checkpoint", "evaluate", "promote"), 1
    )
    assert [w.name.split("-")[0] for w in here.workloads(run)] == ["train", "evaluate"]


def _check_promotion(run: Run, here: Site) -> None:
    evaluation, champion = (
        run.xcom("evaluate"),
        json.loads((here.shared / "champion.json").read_text()),
    )
    assert evaluation["metrics"]["accuracy"] >= 0.95
    assert champion["metrics"] == evaluation["metrics"]
    assert {key: champion[key] for key in ("uri", "step", "digest")} == {
        key: run.xcom("checkpoint")[key] for key in ("uri", "step", "digest")
    }


def test_new_data_starts_a_training_and_its_checkpoint_an_evaluation(
    airflow: Airflow, examples: Site
) -> None:
    for dag_id in PIPELINE:
        airflow.rest.patch(f"/dags/{dag_id}", {"is_paused": False})
    Run.start(airflow.rest, PIPELINE[0])
    training, evaluating = (_only_run(airflow.rest, dag_id) for dag_id in PIPELINE[1:])
    wait_until(lambda: evaluating.state == "success", "the evaluation succeeds")
    event = _checkpoint_event(airflow.rest, evaluating)
    chosen = training.xcom("checkpoint")
    wanted = {key: chosen[key] for key in ("uri", "step", "digest")}
    assert wanted["step"] == LAST_STEP
    assert {key: event["extra"][key] for key in wanted} == wanted
    assert event["source_run_id"] == training.run_id
    evaluation = evaluating.xcom("evaluate")
    assert {key: evaluation["checkpoint"][key] for key in wanted} == wanted
    assert evaluation["metrics"]["step"] == LAST_STEP
    assert [len(examples.workloads(run)) for run in (training, evaluating)] == [1, 1]


def test_the_dag_of_the_readme_runs_as_it_stands(airflow: Airflow, examples: Site) -> None:
    run = _scheduled(airflow.rest, "retrain")
    for task in ("train", "select", "evaluate", "promote"):
        run.succeeds(f"retraining.{task}")
    champion = json.loads((examples.shared / "champion.json").read_text())
    assert champion["run"]["run_id"] == run.run_id
    assert champion["metrics"]["accuracy"] >= 0.95


def _checkpoint_event(rest: Rest, run: Run) -> dict[str, Any]:
    events = rest.get(f"{run.path}/upstreamAssetEvents")["asset_events"]
    assert [event["name"] for event in events] == ["digits_checkpoint"]
    return dict(events[0])


def _scheduled(rest: Rest, dag_id: str) -> Run:
    """Switch a DAG on; return the run that its schedule makes at once."""
    rest.patch(f"/dags/{dag_id}", {"is_paused": False})
    return _only_run(rest, dag_id)


def _only_run(rest: Rest, dag_id: str) -> Run:
    found = wait_until(
        lambda: rest.get(f"/dags/{dag_id}/dagRuns")["dag_runs"], f"a run of {dag_id}"
    )
    assert len(found) == 1
    return Run(rest, dag_id, found[0]["dag_run_id"])


def _shows(run: Run, phase: str) -> dict[str, Any] | None:
    shown = run.xcom(key="runai_timeline")
    return shown if shown and shown["phase"] == phase else None

"""
Every example DAG parses, survives serialization, and runs to success against the embedded Run:ai.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_runai.emulator import Emulator
from airflow_runai.links import TIMELINE_KEY
from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.lifecycle import (
    RunaiDeleteWorkloadOperator,
    RunaiResumeWorkloadOperator,
    RunaiSuspendWorkloadOperator,
)
from airflow_runai.operators.orphans import RunaiReapOrphansOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.retention import RunaiCheckpointRetentionOperator
from airflow_runai.operators.rollback import RunaiRollbackChampionOperator
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.sensors.checkpoint import RunaiCheckpointSensor
from airflow_runai.sensors.workload import RunaiWorkloadSensor
from tests.airflow.conftest import ROOT, SECRET
from tests.airflow.running import Person, Run, dag_of, event_of, meanwhile
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
EXPECTED = {
    "digits_retraining",
    "digits_approval",
    "digits_from_ui",
    "digits_early_evaluation",
    "digits_sweep",
    "digits_nightly_sweep",
    "digits_registry",
    "digits_halving",
    "digits_ingest",
    "digits_train_on_new_data",
    "digits_evaluate_checkpoint",
    "reap_orphans",
}


def bag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))


def test_all_examples_parse_and_survive_serialization(database: None) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    found = bag()
    assert found.import_errors == {}
    assert set(found.dags) >= EXPECTED
    for dag in found.dags.values():
        written = DagSerialization.to_dict(dag)
        read = DagSerialization.from_dict(json.loads(json.dumps(written)))
        assert set(read.task_dict) == set(dag.task_dict)
        for task in dag.tasks:
            assert set(read.get_task(task.task_id).template_fields) == set(task.template_fields)
        assert SECRET not in json.dumps(written)


@pytest.mark.slow
def test_retraining_is_preempted_resumed_and_promoted(
    run: Runner, emulator: Emulator, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_DIGITS_SECONDS_PER_EPOCH", "0.15")

    def preempt() -> None:
        Person(emulator).wait_for("train", "Running")
        wait_until(lambda: list(shared.glob("runs/*/*/checkpoints/step-*")))
        emulator.preempt(emulator.workloads_named("train")[0].name)

    with meanwhile(preempt):
        done = run(bag().dags["digits_retraining"])
    assert done.state == "success", done.words
    assert done.xcom(task_id="train")["interruptions"] == 1
    assert done.task("train").try_number == 1
    assert done.xcom(TIMELINE_KEY, task_id="train")["phase"] == "Completed"
    champion = json.loads((shared / "champion.json").read_text())
    assert champion["metrics"]["accuracy"] >= 0.95
    assert champion["digest"] == done.xcom(task_id="checkpoint")["digest"]
    log = emulator.log(emulator.workloads_named("train")[0].name)
    assert "resumed from step" in log


@pytest.mark.slow
def test_retraining_from_the_ui_takes_its_settings(
    run: Runner, emulator: Emulator, shared: Path
) -> None:
    conf = {"epochs": 2, "learning_rate": 0.05, "gpus": 2, "project": "team-b"}
    done = run(bag().dags["digits_from_ui"], conf=conf)
    assert done.state == "success", done.words
    (found,) = emulator.workloads_named("train")
    assert found.spec["compute"]["gpuDevicesRequest"] == 2
    assert "training complete: 2 epochs" in emulator.log(found.name)
    assert done.xcom(task_id="train")["project"] == "team-b"
    assert done.xcom(task_id="checkpoint")["verdict"] == "valid"


@pytest.mark.slow
def test_early_evaluation_takes_a_checkpoint_of_the_step_that_is_wanted(
    run: Runner, emulator: Emulator, shared: Path
) -> None:
    """``dag.test`` runs one task after the other, in any order; a sensor beside a running training has its own test."""
    dag = bag().dags["digits_early_evaluation"]
    dag.get_task("train") >> dag.get_task("half_way")
    done = run(dag)
    assert done.state == "success", done.words
    assert done.xcom(task_id="half_way")["step"] >= 300
    judged = done.xcom(task_id="evaluate")
    assert judged["passed"]
    assert judged["checkpoint"] == done.xcom(task_id="half_way")


@pytest.mark.slow
def test_sweep_tries_all_pairs_and_promotes_the_best(
    run: Runner, emulator: Emulator, shared: Path
) -> None:
    done = run(bag().dags["digits_sweep"])
    assert done.state == "success", done.words
    best = done.xcom(task_id="sweep.best")
    scores = {row["name"]: row["score"] for row in best["trials"]}
    assert len(scores) == 4
    winner = next(row for row in best["trials"] if row["rank"] == 1)
    assert winner["score"] == max(filter(None, scores.values())) >= 0.8
    champion = json.loads((shared / "best.json").read_text())
    assert champion["metrics"]["accuracy"] == winner["score"]
    assert f"/trials/{winner['trial']}/checkpoints/" in champion["path"]
    (trained,) = emulator.workloads_named(winner["name"])[:1]
    wanted = [f"{name}={value}" for name, value in winner["parameters"].items()]
    assert trained.spec["args"] == " ".join(["number-of-epochs=5", *wanted])


@pytest.mark.qualify
def test_nightly_sweep_asks_for_what_nobody_uses(
    run: Runner, emulator: Emulator, shared: Path
) -> None:
    done = run(bag().dags["digits_nightly_sweep"])
    assert done.state == "success", done.words
    assert done.xcom(task_id="room")["free"] == 4
    losses = [row["score"] for row in done.xcom(task_id="sweep.best")["trials"]]
    assert done.xcom(task_id="sweep.best")["metrics"]["loss"] == min(losses)
    made = list(emulator.world.workloads.values())
    assert len(made) == 2 * len(losses) == 8
    assert {w.spec["priorityClass"] for w in made} == {"very-low"}
    assert {w.spec["preemptibility"] for w in made} == {"preemptible"}


@pytest.mark.slow
def test_nightly_sweep_is_skipped_where_no_gpu_is_idle(run: Runner, emulator: Emulator) -> None:
    dag = bag().dags["digits_nightly_sweep"]
    room = dag.get_task("room")
    room.timeout, room.poke_interval = 0.3, 0.1
    others = Person(emulator)
    others.submit("team-a", "long-one", gpus=2)
    others.submit("team-b", "long-two", gpus=2)
    others.wait_for("long-two", "Running")
    done = run(dag)
    assert done.task("room").state == "skipped"
    assert len(emulator.world.workloads) == 2


@pytest.mark.slow
def test_pipeline_hands_on_data_and_checkpoints_as_asset_events(
    run: Runner, emulator: Emulator, shared: Path
) -> None:
    """What ``dag.test`` cannot do is start the third DAG with its event; the real scheduler does, in another test."""
    dags = bag().dags
    assert run(dags["digits_ingest"]).state == "success"
    assert event_of("digits_data") == {"samples": 1797}
    done = run(dags["digits_train_on_new_data"])
    assert done.state == "success", done.words
    extra = event_of("digits_checkpoint")
    chosen = done.xcom(task_id="checkpoint")
    assert {key: extra[key] for key in ("uri", "step", "digest")} == {
        key: chosen[key] for key in ("uri", "step", "digest")
    }


def _all_operators() -> list[Callable[[], BaseOperator]]:
    common: dict[str, Any] = {"workload": "w", "project": "p"}
    spec = {"image": "x", "compute": {"gpu_devices": "{{ params.gpus }}"}}
    paths = {"/shared": "/mnt"}
    evaluating: dict[str, Any] = {
        "spec": spec,
        "checkpoint": "/shared/c",
        "metrics": "/shared/m.json",
        "gates": ["a > 1"],
    }
    return [
        lambda: RunaiTrainingOperator(task_id="train", spec=spec, timeouts={"queue": 5}),
        lambda: RunaiWorkloadSensor(task_id="sensor", **common),
        lambda: RunaiSuspendWorkloadOperator(task_id="suspend", **common),
        lambda: RunaiResumeWorkloadOperator(task_id="resume", **common),
        lambda: RunaiDeleteWorkloadOperator(task_id="delete", **common),
        lambda: RunaiSelectCheckpointOperator(task_id="checkpoint", root="/shared", path_map=paths),
        lambda: RunaiEvaluationOperator(task_id="evaluate", path_map=paths, **evaluating),
        lambda: RunaiCheckpointSensor(
            task_id="half_way", root="/shared", workload={"task_id": "train"}
        ),
        lambda: RunaiCheckpointRetentionOperator(
            task_id="retain", root="/shared", keep_names=["step-1"], path_map=paths
        ),
        lambda: RunaiPromoteCheckpointOperator(
            task_id="promote", champion="/shared/c.json", evaluation={}, path_map=paths
        ),
        lambda: RunaiRollbackChampionOperator(task_id="back", champion="/shared/c.json", to=4),
        lambda: RunaiReapOrphansOperator(task_id="reap", project="p"),
    ]


def test_every_operator_survives_serialization_with_its_link(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    # Airflow's scheduler reads DAGs without links, and leaves that set for the whole process.
    monkeypatch.setattr(DagSerialization, "_load_operator_extra_links", True)
    dag = dag_of(*_all_operators(), params={"gpus": 1})
    read = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert len(read.task_dict) == 12
    for task in dag.tasks:
        again = read.get_task(task.task_id)
        for field in task.template_fields:
            assert getattr(again, field) == getattr(task, field), (task.task_id, field)
    linked = {t for t in read.task_dict if read.get_task(t).operator_extra_links}
    assert linked == {"train", "suspend", "resume", "delete", "evaluate"}


@pytest.mark.slow
def test_halving_trains_the_better_half_further_and_promotes_the_best(
    run: Runner, emulator: Emulator, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `dag.test` plays one task at a time: a deferred gate would keep the others from coming.
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "false")
    done = run(bag().dags["digits_halving"])
    best = done.xcom(task_id="halving.best")
    assert best is not None, done.words
    assert sorted(row["rung"] for row in best["trials"]) == [0, 0, 1, 1]
    assert best["metrics"]["accuracy"] == max(
        row["score"] for row in best["trials"] if row["rung"] == 1
    )
    champion = json.loads((shared / "champion.json").read_text())
    assert champion["metrics"] == best["metrics"]

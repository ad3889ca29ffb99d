"""A retraining as one call: the same four tasks, each within reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, TaskGroup, task_group
from airflow.sdk.bases.operator import BaseOperator

from airflow_runai.emulator import Emulator
from airflow_runai.errors import SpecError
from airflow_runai.task_groups.retraining import Retraining, runai_retraining
from tests.airflow.running import Run

Runner = Callable[..., Run]
POD = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
}
DIGITS = {"command": "./startup.sh", "args": "number-of-epochs=1", "compute": {"gpu_devices": 1}}
JUDGE = {"command": "./evaluate.sh", "compute": {"gpu_devices": 1}}


def retraining(shared: Path, **given: Any) -> Retraining:
    known = {"path_map": {"/shared": str(shared)}, "spec": POD, "train": DIGITS}
    return runai_retraining(**{"run_root": "/shared/runs/{{ run_id }}", **known, **given})


@pytest.mark.slow
def test_a_run_is_trained_selected_evaluated_and_promoted(
    run: Runner, emulator: Emulator, shared: Path
) -> None:
    with DAG("dag", schedule=None) as dag:
        chain = retraining(
            shared,
            evaluate=JUDGE,
            gates=["accuracy >= 0.1", "accuracy >= champion.accuracy - 0.002"],
            champion="/shared/champion.json",
        )
    done = run(dag)
    assert done.state == "success", done.words
    root = shared / "runs" / done.run_id
    chosen = done.xcom(task_id=chain.select.task_id)
    assert Path(chosen["uri"]).parent == root / "checkpoints"
    assert (root / "metrics.json").exists()
    champion = json.loads((shared / "champion.json").read_text())
    assert champion["digest"] == chosen["digest"]
    assert [one.name.rsplit("-", 2)[0] for one in emulator.world.workloads.values()] == [
        "retraining-train",
        "retraining-evaluate",
    ]


@pytest.mark.qualify
def test_mapped_each_has_a_folder_of_its_own(run: Runner, emulator: Emulator, shared: Path) -> None:
    with DAG("dag", schedule=None) as dag:

        @task_group
        def with_rate(rate: str) -> None:
            retraining(
                shared,
                run_root="/shared/runs/{{ run_id }}/{{ ti.map_index }}",
                train={**DIGITS, "environment": {"RATE": rate}},
            )

        with_rate.expand(rate=["0.1", "0.2"])
    done = run(dag)
    assert done.state == "success", done.words
    assert sorted(_variable(one.spec, "RATE") for one in emulator.world.workloads.values()) == [
        "0.1",
        "0.2",
    ]
    roots = shared / "runs" / done.run_id
    assert all(list((roots / str(index) / "checkpoints").glob("step-*")) for index in (0, 1))


@pytest.mark.parametrize("run_root", ["/shared/runs/{{ run_id }}", "/shared/{{ ti.try_number }}"])
def test_mapped_without_map_index_is_refused(shared: Path, run_root: str) -> None:
    with DAG("dag", schedule=None):

        @task_group
        def with_rate(rate: str) -> None:
            with TaskGroup("inner"):
                retraining(shared, run_root=run_root)

        with pytest.raises(SpecError) as slip:
            with_rate.expand(rate=["0.1", "0.2"])
    assert f"run_root: {run_root!r}, in a mapped task group, whose instances would" in str(
        slip.value
    )
    assert "add {{ ti.map_index }}" in str(slip.value)


def _variable(spec: Any, name: str) -> str:
    return next(str(v["value"]) for v in spec["environmentVariables"] if v["name"] == name)


def test_each_task_is_within_reach(shared: Path) -> None:
    with DAG("dag", schedule=None, default_args={"retries": 2}):
        before, between = BaseOperator(task_id="before"), BaseOperator(task_id="between")
        chain = retraining(
            shared,
            evaluate=JUDGE,
            champion="/shared/champion.json",
            project="team-b",
            task_arguments={"train": {"timeouts": {"queue": 60}}, "select": {"level": 2}},
        )
        before >> chain
        assert chain.evaluate is not None
        assert chain.promote is not None
        chain.evaluate >> between >> chain.promote
    assert chain.train.upstream_task_ids == {"before"}
    assert chain.promote.upstream_task_ids == {"between", "retraining.evaluate"}
    assert (chain.train.timeouts, chain.select.level) == ({"queue": 60}, 2)
    assert {chain.train.project, chain.evaluate.project} == {"team-b"}
    assert chain.train.retries == 2


def test_what_is_left_out_makes_no_task(shared: Path) -> None:
    with DAG("dag", schedule=None) as dag:
        chain = retraining(shared)
    assert (chain.evaluate, chain.promote) == (None, None)
    assert set(dag.task_ids) == {"retraining.train", "retraining.select"}


def test_a_line_and_a_folder_of_the_authors_own_are_followed(shared: Path) -> None:
    with DAG("dag", schedule=None):
        chain = retraining(
            shared,
            run_root="/shared/runs/{{ run_id }}/",
            train="runai submit -i x -g 1 -- ./startup.sh",
            spec={"environment": {"CHECKPOINTS": "/shared/mine", "DEBUG": "1"}},
        )
    assert chain.train.command_line == "runai submit -i x -g 1 -- ./startup.sh"
    assert chain.train.spec == {"environment": {"CHECKPOINTS": "/shared/mine", "DEBUG": "1"}}
    assert chain.select.root == "/shared/mine"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"gates": ["a > 1"]}, "gates: set, without an evaluation; give `evaluate`, or leave"),
        ({"champion": "/c.json"}, "champion: set, without an evaluation; give `evaluate`"),
        (
            {"task_arguments": {"trains": {}}},
            "task_arguments.trains: no task; did you mean 'train'?",
        ),
        (
            {"task_arguments": {"promote": {}}, "evaluate": JUDGE},
            "task_arguments.promote: set, but there is no such task here",
        ),
        ({"run_root": ""}, "run_root: ''; allowed: a directory"),
        ({"train": 7}, "train: 7; allowed: a specification (a mapping) or a command line (a text)"),
        ({"spec": {"environment": 7}}, "environment.CHECKPOINTS: None; allowed: where the"),
    ],
)
def test_a_slip_is_one_sentence_with_the_place_of_the_call(
    shared: Path, given: dict[str, Any], sentence: str
) -> None:
    with DAG("dag", schedule=None), pytest.raises(SpecError) as slip:
        retraining(shared, **given)
    assert sentence in str(slip.value)
    assert f"({__file__}, line " in str(slip.value)


def test_the_slip_of_a_task_names_the_task(shared: Path) -> None:
    with DAG("dag", schedule=None), pytest.raises(SpecError) as slip:
        retraining(shared, train={"imagee": "x"})
    assert str(slip.value).startswith("task 'train' (")
    assert "task group" not in str(slip.value)

"""``@task.runai``: a function returns what a training runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_runai.emulator import Emulator
from airflow_runai.errors import SpecError
from tests.airflow.running import Run

Runner = Callable[..., Run]
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])


@pytest.mark.slow
@both
def test_what_the_function_returns_is_run(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    calls: list[str] = []
    with DAG("dag", schedule=None, params={"epochs": 3}) as dag:

        @task.runai(deferrable=deferrable, workload_name="short")
        def train(rate: float, params: Any = None, **context: Any) -> dict[str, Any]:
            calls.append(context["run_id"])
            args = f"rate={rate} epochs={params['epochs']} of={{{{ run_id }}}}"
            return {"image": "x", "args": args, "compute": {"gpu_devices": 1}}

        train(0.5)
    done = run(dag)
    assert done.state == "success", done.words
    (made,) = emulator.workloads_named("short")
    assert made.spec["args"] == f"rate=0.5 epochs=3 of={done.run_id}"
    assert done.xcom(task_id="train")["name"] == made.name
    assert calls == [done.run_id] * (2 if deferrable else 1)


@pytest.mark.slow
def test_a_line_is_rendered_word_by_word(run: Runner, emulator: Emulator) -> None:
    with DAG("dag", schedule=None, params={"name": "a b --gpu 9"}) as dag:

        @task.runai(workload_name="short")
        def train() -> str:
            return "runai submit -i x -g 1 -- ./train.sh {{ params.name }}"

        train()
    done = run(dag)
    assert done.state == "success", done.words
    (made,) = emulator.workloads_named("short")
    assert made.spec["compute"]["gpuDevicesRequest"] == 1
    assert "'a b --gpu 9'" in made.spec["args"]


@pytest.mark.slow
def test_mapped_each_call_is_a_workload(run: Runner, emulator: Emulator) -> None:
    with DAG("dag", schedule=None) as dag:

        @task.runai(workload_name="short")
        def train(rate: str) -> dict[str, Any]:
            return {"image": "x", "args": f"rate={rate}"}

        train.expand(rate=["1", "2"])
    done = run(dag)
    assert done.state == "success", done.words
    made = emulator.workloads_named("short")
    assert sorted(one.spec["args"] for one in made) == ["rate=1", "rate=2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, "train: returned NoneType; allowed: a specification (a mapping) or a command line"),
        ({}, "train: returned dict; allowed: a specification"),
        ({"imagee": "x"}, "imagee"),
        ("runai submit --nonsense=1 -i x", "--nonsense"),
    ],
)
def test_what_cannot_be_run_is_told_without_a_retry(
    run: Runner, emulator: Emulator, returned: Any, sentence: str
) -> None:
    with DAG("dag", schedule=None, default_args={"retries": 2}) as dag:

        @task.runai
        def train() -> Any:
            return returned

        train()
    done = run(dag)
    assert done.state == "failed"
    assert sentence in done.words
    assert done.task("train").try_number == 1
    assert not emulator.world.workloads


@pytest.mark.parametrize("name", ["spec", "command_line"])
def test_what_is_run_comes_from_the_function_alone(name: str) -> None:
    given: dict[str, Any] = {name: "x"}
    with DAG("dag", schedule=None):

        @task.runai(multiple_outputs=False, **given)
        def train() -> dict[str, Any]:
            return {}

        with pytest.raises(SpecError) as slip:
            train()
    assert f"{name}: set; what the function returns takes its place" in str(slip.value)
    assert f"task 'train' ({__file__}, line " in str(slip.value)

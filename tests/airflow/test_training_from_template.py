"""Templates beneath a training: what they give, what the task adds, what a lock refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import Emulator
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Run, dag_of

Runner = Callable[..., Run]
TEMPLATES = {
    "base": {
        "spec": {"image": "python:3.12", "environment": {"DATA": "/data", "EPOCHS": "1"}},
        "locked": ["image"],
    },
    "small": {"extends": "base", "project": "team-b", "spec": {"compute": {"gpu_devices": 1}}},
}


def trains(**given: Any) -> Callable[[], RunaiTrainingOperator]:
    return lambda: RunaiTrainingOperator(
        **{"task_id": "task", "workload_name": "short", "templates": TEMPLATES, **given}
    )


def variables(emulator: Emulator) -> dict[str, str]:
    (made,) = emulator.workloads_named("short")
    return {entry["name"]: entry["value"] for entry in made.spec["environmentVariables"]}


@pytest.mark.slow
def test_template_and_task_are_one_specification(run: Runner, emulator: Emulator) -> None:
    done = run(dag_of(trains(template="small", spec={"environment": {"EPOCHS": 30}})))
    assert done.state == "success", done.words
    assert done.xcom()["project"] == "team-b"
    assert (variables(emulator)["DATA"], variables(emulator)["EPOCHS"]) == ("/data", "30")
    assert emulator.workloads_named("short")[0].spec["image"] == "python:3.12"


@pytest.mark.slow
def test_command_line_may_name_the_template(run: Runner, emulator: Emulator) -> None:
    done = run(
        dag_of(
            trains(command_line="runai submit short --template small -e EPOCHS=7 --project team-a")
        )
    )
    assert done.state == "success", done.words
    assert done.xcom()["project"] == "team-a"
    assert variables(emulator)["EPOCHS"] == "7"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"template": "small", "spec": {"image": "mine:1"}}, "locks it"),
        ({"template": "smal"}, "'small'"),
        (
            {"template": "loop", "templates": {"loop": {"extends": "loop", "spec": {}}}},
            "extends itself",
        ),
        ({"template": "x", "templates": {"x": {"spec": {"imag": "y"}}}}, "'image'"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_submitted(
    run: Runner, emulator: Emulator, given: dict[str, Any], told: str
) -> None:
    done = run(dag_of(trains(**given)))
    assert done.state == "failed"
    assert told in done.words
    assert emulator.workloads_named("") == []


@pytest.mark.slow
def test_admin_defaults_of_the_configured_folder_reach_every_task(
    run: Runner, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "admin.yaml").write_text("name: admin\nspec:\n  priority: low\nlocked: [priority]\n")
    monkeypatch.setenv("AIRFLOW__RUNAI__TEMPLATE_FOLDER", str(folder))
    done = run(dag_of(trains(templates=None, spec={"image": "python:3.12"})))
    assert done.state == "success", done.words
    assert emulator.workloads_named("short")[0].spec["priorityClass"] == "low"

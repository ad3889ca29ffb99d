"""`airflow runai render`: which layer set what, and what cannot be shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_runai.tasks.instructions import gather
from tests.cli.conftest import Airflow

Dags = Callable[..., Path]

TEMPLATES = """
TEAM = {
    "base": {"spec": {"image": "x:1", "compute": {"gpu_devices": 1}, "environment": {"A": "1", "B": "1", "C": "1"}}},
    "nlp": {
        "extends": "base",
        "spec": {"environment": {"B": "2", "C": "2"}, "storage": {"pvc": [{"claim": "a", "path": "/a"}]}},
    },
}
"""
TASK = """
RunaiTrainingOperator(
    task_id="train",
    project="team-a",
    template="nlp",
    templates=TEAM,
    command_line="runai submit train1 --template nlp -e C=3 -e D=3 -e RUN={{run_id}} -v /b:/b --command ./startup.sh",
    spec={"environment": {"D": 4, "API_TOKEN": "a-secret"}, "raw": {"environmentVariables": [
        {"name": "PASSWORD", "value": "a-secret"}]}},
)
EmptyOperator(task_id="other")
"""


def rows(airflow: Airflow, *words: str) -> dict[str, tuple[Any, str]]:
    shown = airflow("render", *words, "-o", "json")
    assert shown.code == 0, shown.err
    return {row["key"]: (row["value"], row["layer"]) for row in json.loads(shown.out)}


def test_each_value_names_the_layer_that_set_it(airflow: Airflow, dags: Dags) -> None:
    found = rows(airflow, "example", "train", "-S", str(dags(TASK, TEMPLATES)))
    layers = {key.removeprefix("spec."): layer for key, (_, layer) in found.items()}
    assert layers == {
        "project": "task",
        "template": "task",
        "workload_name": "command_line",
        "image": "base",
        "compute.gpu_devices": "base",
        "environment.A": "base",
        "environment.B": "nlp",
        "environment.C": "command_line",
        "environment.D": "spec",
        "environment.RUN": "command_line",
        "environment.API_TOKEN": "spec",
        "storage.pvc[0]": "nlp",
        "storage.host_path[0]": "command_line",
        "command": "command_line",
        "raw.environmentVariables[0]": "spec",
    }
    assert found["spec.environment.D"][0] == 4


def test_what_stands_beside_the_specification_names_its_layer_too(
    airflow: Airflow, dags: Dags
) -> None:
    team = "TEAM = {'base': {'project': 'team-b', 'spec': {'image': 'x:1'}}}"
    body = """
RunaiTrainingOperator(task_id="line", command_line="runai submit t -p team-a --template base", templates=TEAM)
RunaiTrainingOperator(task_id="plain", command_line="runai submit t -p team-a -i x:1", workload_name="other")
RunaiTrainingOperator(task_id="team", template="base", templates=TEAM)
"""
    path = str(dags(body, team))
    line, plain, of_team = (
        rows(airflow, "example", task, "-S", path) for task in ("line", "plain", "team")
    )
    assert (line["project"], line["template"]) == (
        ("team-a", "command_line"),
        ("base", "command_line"),
    )
    assert (plain["project"], plain["workload_name"]) == (
        ("team-a", "command_line"),
        ("other", "task"),
    )
    assert (of_team["project"], of_team["template"]) == (("team-b", "a template"), ("base", "task"))


def test_jinja_stays_and_secrets_are_masked(airflow: Airflow, dags: Dags) -> None:
    shown = airflow("render", "example", "train", "-S", str(dags(TASK, TEMPLATES)), "-o", "yaml")
    values = {row["key"]: row["value"] for row in yaml.safe_load(shown.out)}
    assert values["spec.environment.RUN"] == "{{run_id}}"
    assert values["spec.environment.API_TOKEN"] == "***"
    assert values["spec.raw.environmentVariables[0]"] == {"name": "PASSWORD", "value": "***"}
    assert "a-secret" not in shown.out + shown.err


def test_admin_defaults_of_the_configured_folder_are_a_layer(
    airflow: Airflow, dags: Dags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "admin.yaml").write_text("name: admin\nspec:\n  priority: low\n")
    monkeypatch.setenv("AIRFLOW__RUNAI__TEMPLATE_FOLDER", str(folder))
    task = "RunaiTrainingOperator(task_id='train', spec={'image': 'x:1'})"
    found = rows(airflow, "example", "train", "-S", str(dags(task)))
    assert found == {"spec.image": ("x:1", "spec"), "spec.priority": ("low", "admin")}


def test_what_is_shown_is_what_the_operator_gathers(airflow: Airflow, dags: Dags) -> None:
    line = "runai submit t -i x:1 -e A=1 -- ./run.sh --lr 0.1"
    task = f"RunaiTrainingOperator(task_id='train', command_line={line!r}, spec={{'environment': {{'B': '2'}}}})"
    found = rows(airflow, "example", "train", "-S", str(dags(task)))
    spec = gather({"environment": {"B": "2"}}, line, None, None, lambda value: value).spec
    assert found.pop("workload_name") == ("t", "command_line")
    assert {key.removeprefix("spec."): value for key, (value, _) in found.items()} == {
        "image": spec["image"],
        "args": spec["args"],
        **{f"environment.{name}": value for name, value in spec["environment"].items()},
    }


def test_evaluation_and_mapped_tasks_say_what_is_added_later(airflow: Airflow, dags: Dags) -> None:
    body = """
many = RunaiTrainingOperator.partial(task_id="many", project="team-a")
train = many.expand(spec=[{"image": "x:1"}, {"image": "y:1"}])
RunaiEvaluationOperator(task_id="evaluate", spec={"image": "x:1"}, checkpoint=train.output, metrics="/m/{{run_id}}")
"""
    path = str(dags(body))
    assert rows(airflow, "example", "many", "-S", path) == {
        "project": ("team-a", "task"),
        "spec": ("differs between the task's instances", "expand"),
    }
    kwargs = (
        'RunaiTrainingOperator.partial(task_id="train").expand_kwargs([{"spec": {"image": "x:1"}}])'
    )
    assert list(rows(airflow, "example", "train", "-S", str(dags(kwargs)))) == [
        "whatever expand_kwargs gives"
    ]
    path = str(dags(body))
    found = rows(airflow, "example", "evaluate", "-S", path)
    assert found["spec.environment.METRICS"] == ("/m/{{run_id}}", "operator")
    assert found["spec.environment.CHECKPOINT"][1] == "operator"


def test_dags_are_found_in_the_configured_bundle_too(airflow: Airflow) -> None:
    from tests.airflow.conftest import HOME

    (HOME / "dags" / "bundled.py").write_text(
        "from airflow.sdk import DAG\nfrom airflow_runai.operators.training import RunaiTrainingOperator\n"
        "with DAG('bundled'):\n    RunaiTrainingOperator(task_id='train', spec={'image': 'x:1'})\n"
    )
    assert rows(airflow, "bundled", "train") == {"spec.image": ("x:1", "spec")}
    assert airflow("render", "bundled", "train", "-B", "nowhere").code == 2


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ("example", "other"),
            2,
            "task 'other': made by EmptyOperator; only RunaiTrainingOperator",
        ),
        (("example", "trian"), 2, "DAG 'example' has no such task; it has: other, train"),
        (("nothing", "train"), 2, "DAG 'nothing': not found"),
        (("example",), 2, "task_id"),
    ],
)
def test_what_cannot_be_found_is_named(
    words: tuple[str, ...], code: int, says: str, airflow: Airflow, dags: Dags
) -> None:
    shown = airflow("render", *words, "-S", str(dags(TASK, TEMPLATES)))
    assert (shown.code, shown.out if code != 2 or "task_id" not in says else "") == (code, "")
    assert says in shown.err


def test_files_that_cannot_be_read_are_named(airflow: Airflow, dags: Dags, tmp_path: Path) -> None:
    dags("RunaiTrainingOperator(task_id='train', spec={'imagee': 'x'})")
    shown = airflow("render", "example", "train", "-S", str(tmp_path / "dags"))
    assert shown.code == 2
    assert "example.py" in shown.err
    assert "spec.imagee" in shown.err
    dags(
        'RunaiTrainingOperator(task_id="train", command_line="runai submit t -i x --gpus 1 --jupyter")'
    )
    shown = airflow("render", "example", "train", "-S", str(tmp_path / "dags"))
    assert "--gpus: unknown flag" in shown.err, "the first mistake is told, not only the last"
    assert "--jupyter: for interactive work" in shown.err
    assert airflow("render", "example", "train", "-S", str(tmp_path / "nowhere")).code == 2


def test_what_a_dag_file_prints_is_no_output_of_ours(airflow: Airflow, dags: Dags) -> None:
    path = dags(
        "RunaiTrainingOperator(task_id='train', spec={'image': 'x:1'})",
        "print('from the DAG file')",
    )
    shown = airflow("render", "example", "train", "-S", str(path), "-o", "json")
    assert [row["key"] for row in json.loads(shown.out)] == ["spec.image"]
    assert "from the DAG file" in shown.err


def test_folder_that_cannot_be_walked_is_named(airflow: Airflow, tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path)
    shown = airflow("render", "example", "train", "-S", str(tmp_path))
    assert (shown.code, shown.out) == (2, "")
    assert f"error: {tmp_path}: cannot be read as a folder of DAGs: " in shown.err


def test_locked_key_and_template_known_only_later_are_errors(airflow: Airflow, dags: Dags) -> None:
    locked = "TEAM = {'base': {'spec': {'image': 'x:1'}, 'locked': ['image']}}"
    body = "RunaiTrainingOperator(task_id='train', template='base', templates=TEAM, spec={'image': 'y:1'})"
    shown = airflow("render", "example", "train", "-S", str(dags(body, locked)))
    assert (shown.code, "locks it" in shown.err) == (1, True)
    later = "RunaiTrainingOperator(task_id='train', template='{{ params.t }}')"
    shown = airflow("render", "example", "train", "-S", str(dags(later)))
    assert (shown.code, "known only when the task runs" in shown.err) == (2, True)

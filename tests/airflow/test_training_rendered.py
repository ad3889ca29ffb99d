"""What Airflow shows of a command line and of templates, and a command line that lies in a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_runai.emulator import Emulator
from airflow_runai.errors import SpecError
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.rendered_fields import shown_command_line, shown_templates
from tests.airflow.running import Run, dag_of

Runner = Callable[..., Run]
LINE = "runai submit short -i python:3.12 --project team-a"


def training(**given: Any) -> Callable[[], RunaiTrainingOperator]:
    return lambda: RunaiTrainingOperator(task_id="task", **given)


def rendered(done: Run) -> dict[str, Any]:
    """What Airflow shows of the task's fields."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session
    from sqlalchemy import select

    column = RenderedTaskInstanceFields.rendered_fields
    mine = RenderedTaskInstanceFields.run_id == done.run_id
    with create_session() as session:
        return dict(session.scalar(select(column).where(mine)) or {})


def variables(emulator: Emulator) -> dict[str, str]:
    (made,) = emulator.workloads_named("short")
    return {entry["name"]: entry["value"] for entry in made.spec["environmentVariables"]}


# -- what is shown


@pytest.mark.slow
def test_the_line_is_shown_rendered_and_masked_while_the_parser_gets_its_words(
    run: Runner, emulator: Emulator
) -> None:
    line = f"{LINE} -e DB_PASSWORD={{{{ params.hidden }}}} -e 'WHO={{{{ params.who }}}}'"
    params = {"hidden": "hush-hush", "who": "me -e INJECTED=yes"}
    done = run(dag_of(training(command_line=line), params=params))
    assert done.state == "success", done.words
    shown = rendered(done)["command_line"]
    assert shown == f"{LINE} -e 'DB_PASSWORD=***' -e 'WHO=me -e INJECTED=yes'"
    assert variables(emulator)["DB_PASSWORD"] == "hush-hush"
    assert variables(emulator)["WHO"] == "me -e INJECTED=yes"
    assert "INJECTED" not in variables(emulator)


@pytest.mark.slow
def test_jinja_that_only_a_shell_unquotes_is_shown_too(run: Runner, emulator: Emulator) -> None:
    line = LINE + r' -e "WHO={{ params[\"who\"] }}"'
    done = run(dag_of(training(command_line=line), params={"who": "me"}))
    assert rendered(done)["command_line"] == f"{LINE} -e WHO=me", done.words


@pytest.mark.slow
def test_templates_are_shown_as_they_are_used(run: Runner, emulator: Emulator) -> None:
    environment = {"HF_TOKEN": "hush-hush", "EPOCHS": "1", "AS_WRITTEN": "{{ run_id }}"}
    templates = {"base": {"spec": {"image": "python:3.12", "environment": environment}}}
    given: dict[str, Any] = {"template": "base", "templates": templates, "workload_name": "short"}
    done = run(dag_of(training(**given)))
    assert done.state == "success", done.words
    shown = json.loads(rendered(done)["templates"])
    assert shown["base"]["spec"]["environment"] == {**environment, "HF_TOKEN": "***"}
    assert variables(emulator)["HF_TOKEN"] == "hush-hush"
    assert variables(emulator)["AS_WRITTEN"] == "{{ run_id }}"


@pytest.mark.slow
def test_a_mapped_task_shows_its_own_line(run: Runner, emulator: Emulator) -> None:
    lines = [f"{LINE} -e API_KEY=hush-{number} -e 'N={{{{ 40 + 2 }}}}'" for number in (1,)]
    with DAG("mapped", schedule=None) as dag:
        RunaiTrainingOperator.partial(task_id="task").expand(command_line=lines)
    done = run(dag)
    assert done.state == "success", done.words
    assert rendered(done)["command_line"] == f"{LINE} -e 'API_KEY=***' -e N=42"
    assert variables(emulator)["API_KEY"] == "hush-1"


SHOWN = {
    "option with its value": ("x --password hunter2 -v", "x --password '***' -v"),
    "option and value in one": ("x --db-password=hunter2", "x '--db-password=***'"),
    "variable": ("x -e MY_AUTH=abc -eTOKEN=abc", "x -e 'MY_AUTH=***' '-eTOKEN=***'"),
    "variable behind its flag": ("x --environment=A_KEY=abc", "x '--environment=A_KEY=***'"),
    "address": ("x --git git://me:hunter2@host/r", "x --git '***'"),
    "shell in the line": ("x -- sh -c 'y --password hunter2'", "x -- sh -c '***'"),
    "curl": ("x -- curl -u me:hunter2 http://h", "x -- curl -u '***' http://h"),
    "no secrets": ("x --max-tokens 7 -u a:b", "x --max-tokens 7 -u a:b"),
    "broken": ("x 'never closed", "x 'never closed"),
    "broken, with a secret": (
        "x --password hunter2 | y",
        "*** (not shown, because of --password)",
    ),
}


@pytest.mark.parametrize("case", SHOWN)
def test_words_that_are_secrets_are_masked(case: str) -> None:
    line, expected = SHOWN[case]
    assert shown_command_line(line, lambda word: word) == expected


def test_what_is_no_text_and_no_mapping_is_shown_as_it_is() -> None:
    assert shown_command_line(None, str) is None
    assert shown_templates("a_variable") == "a_variable"
    assert shown_templates(None) is None
    nested = {"a": {"steps": [{"password": "hunter2"}, 5], "url": "s3://me:hunter2@b"}}
    assert "hunter2" not in shown_templates(nested)


# -- files


@pytest.mark.slow
def test_a_file_holds_the_line_and_its_jinja_is_rendered(
    run: Runner, emulator: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    (folder / "train.sh").write_text(f"#!/bin/sh\n{LINE} \\\n  -e WHO={{{{ params.who }}}}\n")
    settings: dict[str, Any] = {"template_searchpath": str(folder), "params": {"who": "a b"}}
    done = run(dag_of(training(command_line="train.sh"), **settings))
    assert done.state == "success", done.words
    assert variables(emulator)["WHO"] == "a b"
    assert rendered(done)["command_line"] == f"{LINE} -e 'WHO=a b'"


def test_a_file_is_checked_when_the_dag_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("runai submit short --imgae x")
    dag = dag_of(training(command_line="train.txt"), template_searchpath=str(tmp_path))
    with pytest.raises(SpecError, match="--imgae"):
        dag.resolve_template_files()
    with pytest.raises(SpecError, match=r"command_line: 'no.sh' .* template_searchpath"):
        dag_of(training(command_line="no.sh")).resolve_template_files()


@pytest.mark.slow
def test_a_line_that_ends_with_a_script_is_no_file(run: Runner, emulator: Emulator) -> None:
    done = run(dag_of(training(command_line=f"{LINE} -- echo ./train.sh")))
    assert done.state == "success", done.words
    assert rendered(done)["command_line"] == f"{LINE} -- echo ./train.sh"


@pytest.mark.slow
def test_an_image_or_a_path_in_the_specification_is_no_file(
    run: Runner, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "image.sh").write_text("not-this")
    (tmp_path / "list.txt").write_text("nor this")
    spec = {"image": "image.sh", "command": "true", "environment": {"FILES": "list.txt"}}
    given: dict[str, Any] = {"spec": spec, "workload_name": "short"}
    assert RunaiTrainingOperator.template_ext == (".sh", ".txt")
    done = run(dag_of(training(**given), template_searchpath=str(tmp_path)))
    assert done.state == "success", done.words
    (made,) = emulator.workloads_named("short")
    assert made.spec["image"] == "image.sh"
    assert variables(emulator)["FILES"] == "list.txt"

"""The researchers' own command lines, run unchanged by the training operator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.emulator import serve
from airflow_runai.errors import SpecError
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.instructions import show
from tests.airflow.conftest import fast
from tests.airflow.running import Run, dag_of

Runner = Callable[..., Run]
#: The two lines of the best-practice article, as they stand.
SUBMIT = (
    "runai submit train1 -i nvcr.io/nvidia/tensorflow:20.03-tf1-py3 --project my-project -v /nfs/john:/mydir -g 1 "
    "--command ./startup.sh --working-dir /mydir/"
)
BY_ENVIRONMENT = f"{SUBMIT} -e 'EPOCHS=30' -e 'LEARNING_RATE=0.02'"
BY_ARGUMENTS = f"{SUBMIT} --args='number-of-epochs=30' --args='batch-size=64'"
STARTUP = """#!/usr/bin/env python3
import json, os, sys
seen = {"arguments": sys.argv[1:], "variables": dict(os.environ), "here": os.getcwd()}
json.dump(seen, open("seen.json", "w"))
"""


def submits(line: str, **given: Any) -> Callable[[], RunaiTrainingOperator]:
    return lambda: RunaiTrainingOperator(task_id="task", command_line=line, **given)


@pytest.fixture
def john(tmp_path: Path) -> Path:
    home = tmp_path / "john"
    home.mkdir()
    startup = home / "startup.sh"
    startup.write_text(STARTUP)
    startup.chmod(0o755)
    return home


def seen_by_the_process(
    run: Runner, connect: Callable[..., None], john: Path, line: str, **given: Any
) -> dict[str, Any]:
    settings = fast(john, projects=("my-project:1",), volumes={"/nfs/john": john})
    with serve(settings) as emulator:
        connect(emulator.url, project=None)
        done = run(dag_of(submits(line, **given)))
        assert done.state == "success", done.words + emulator.log(
            emulator.workloads_named("")[0].name
        )
        assert done.xcom()["name"].startswith("train1-")
        assert done.xcom()["project"] == "my-project"
    seen: dict[str, Any] = json.loads((john / "seen.json").read_text())
    assert seen["here"] == str(john)
    return seen


@pytest.mark.slow
def test_article_line_with_variables_runs_as_it_stands(
    run: Runner, connect: Callable[..., None], john: Path
) -> None:
    seen = seen_by_the_process(run, connect, john, BY_ENVIRONMENT)
    assert seen["arguments"] == []
    assert (seen["variables"]["EPOCHS"], seen["variables"]["LEARNING_RATE"]) == ("30", "0.02")


@pytest.mark.slow
def test_article_line_with_arguments_runs_as_it_stands(
    run: Runner, connect: Callable[..., None], john: Path
) -> None:
    seen = seen_by_the_process(run, connect, john, BY_ARGUMENTS)
    assert seen["arguments"] == ["number-of-epochs=30", "batch-size=64"]
    assert "EPOCHS" not in seen["variables"]


@pytest.mark.slow
def test_operator_arguments_win_over_the_line_name_by_name(
    run: Runner, connect: Callable[..., None], john: Path
) -> None:
    seen = seen_by_the_process(
        run, connect, john, BY_ENVIRONMENT, spec={"environment": {"EPOCHS": 7}}
    )
    assert (seen["variables"]["EPOCHS"], seen["variables"]["LEARNING_RATE"]) == ("7", "0.02")


@pytest.mark.slow
def test_rendered_value_stays_one_word_whatever_is_in_it(
    run: Runner, connect: Callable[..., None], john: Path
) -> None:
    evil = "1' -e 'INJECTED=yes' -i other --template x"
    line = f"{SUBMIT} -e EPOCHS={{{{ params.epochs }}}} --args={{{{ params['words'] }}}}"
    settings = fast(john, projects=("my-project:1",), volumes={"/nfs/john": john})
    with serve(settings) as emulator:
        connect(emulator.url, project=None)
        done = run(dag_of(submits(line), params={"epochs": evil, "words": f"two words {evil}"}))
        spec = emulator.workloads_named("train1")[0].spec
    assert done.state == "success", done.words
    variables = {entry["name"]: entry.get("value") for entry in spec["environmentVariables"]}
    assert variables["EPOCHS"] == evil
    assert "INJECTED" not in variables
    assert json.loads((john / "seen.json").read_text())["arguments"] == [f"two words {evil}"]
    assert spec["image"].startswith("nvcr.io/")


@pytest.mark.slow
def test_effective_specification_is_logged_once_without_secrets(
    run: Runner, connect: Callable[..., None], john: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="airflow_runai.tasks.instructions"):
        seen = seen_by_the_process(run, connect, john, f"{BY_ENVIRONMENT} -e API_TOKEN=hush-hush")
    shown = [r.getMessage() for r in caplog.records if r.name == "airflow_runai.tasks.instructions"]
    assert seen["variables"]["API_TOKEN"] == "hush-hush"
    assert len(shown) == 1
    assert '"value": "30"' in shown[0]
    assert "hush-hush" not in shown[0]


def test_secrets_of_a_master_of_its_own_are_not_logged_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    master = {"environment": {"API_TOKEN": "hush-hush", "ROLE": "chief"}}
    distributed = {"framework": "PyTorch", "workers": 2, "master": master}
    with caplog.at_level("INFO", logger="airflow_runai.tasks.instructions"):
        show(WorkloadSpec.from_mapping({"image": "x", "distributed": distributed}))
    assert "chief" in caplog.text
    assert "hush-hush" not in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("runai submit train1 -i x --gpus 2", "--gpu"),
        ("runai submit train1 -i x --interactive", "interactive"),
        ("runai list", "submit"),
        ("", "empty"),
        ("runai submit train1 -i 'x", "column 24"),
    ],
)
def test_line_that_cannot_be_run_is_refused_when_the_dag_is_parsed(line: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        submits(line)()
    assert message in str(refused.value)


def test_neither_specification_nor_line_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(SpecError, match="command_line"):
        RunaiTrainingOperator(task_id="task")

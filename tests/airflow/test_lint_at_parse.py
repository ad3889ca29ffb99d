"""Lint while a DAG is parsed: one line a finding, never an error, and only then."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_runai.errors import SpecError
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.conftest import ROOT

BARE = {"image": "registry.example/train:7", "command": "./startup.sh"}
LOST = {**BARE, "environment": {"CHECKPOINTS": "/ckpt/{{ run_id }}", "TOKEN": "hush-hush"}}
SEED = (
    "runai submit train1 -i nvcr.io/nvidia/tensorflow:20.03-tf1-py3 --project my-project -v /nfs/john:/mydir -g 1 "
    "--command ./startup.sh --working-dir /mydir/ -e 'EPOCHS=30' -e 'LEARNING_RATE=0.02'"
)
Told = Callable[[], list[str]]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """The lines that lint has logged so far."""
    caplog.set_level("DEBUG", logger="airflow_runai.tasks.parse_time_lint")
    return lambda: [
        r.getMessage() for r in caplog.records if r.name == "airflow_runai.tasks.parse_time_lint"
    ]


def parse(**given: Any) -> RunaiTrainingOperator:
    with DAG("dag", schedule=None, start_date=datetime(2026, 1, 1)):
        return RunaiTrainingOperator(task_id="train", **given)


def test_each_finding_is_one_line_with_code_sentence_and_section(told: Told) -> None:
    parse(spec={**BARE, "terminate_after_preemption": True}, retries=2)
    ended, none = told()
    assert ended.startswith(
        "task train: error terminate-after-preemption: spec.terminate_after_preemption: true: "
    )
    assert ended.endswith("(docs/lint.md#terminate-after-preemption)")
    assert none.startswith("task train: warning no-checkpoint-path: spec: preemptible, but ")


def test_templates_are_no_reason_to_stay_silent_where_their_beginning_decides(told: Told) -> None:
    parse(spec=LOST)
    (line,) = told()
    assert (
        "checkpoint-path-not-persistent: spec.environment.CHECKPOINTS: /ckpt/{{ run_id }} lies on no mount"
        in line
    )
    assert "hush-hush" not in line


@pytest.mark.parametrize(
    "given",
    [
        {"spec": "{{ var.json.spec }}"},
        {"spec": BARE, "template": "small"},
        {"spec": BARE, "templates": {"small": {"spec": {"image": "x"}}}},
        {"spec": {**BARE, "template_id": "t"}},
        {"command_line": SEED},
        {"command_line": f"{SEED} --template small"},
    ],
    ids=lambda given: "-".join(given),
)
def test_what_is_not_known_or_sound_gives_no_line(told: Told, given: dict[str, Any]) -> None:
    parse(**given)
    assert told() == []


def test_a_line_and_a_mapping_are_judged_together(told: Told) -> None:
    parse(
        command_line=SEED,
        spec={"environment": {"CHECKPOINTS": "/ckpt"}},
        timeouts={"queue": 9, "total": 8},
    )
    lost, timeouts = told()
    assert "checkpoint-path-not-persistent" in lost
    assert "timeouts-contradict: timeouts.queue: 9 s, but total" in timeouts


@pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_our_own_examples_are_sound(told: Told, path: Path) -> None:
    runpy.run_path(str(path))
    assert told() == []


def test_an_evaluation_needs_no_checkpoint_path_of_its_own(told: Told) -> None:
    with DAG("dag", schedule=None, start_date=datetime(2026, 1, 1)):
        RunaiEvaluationOperator(
            task_id="evaluate", spec=BARE, checkpoint="/shared/c", metrics="/shared/m.json"
        )
    assert told() == []


def test_a_task_silences_codes(told: Told) -> None:
    parse(spec=BARE, lint_ignore=["no-checkpoint-path"])
    assert told() == []


def test_the_configuration_silences_codes_for_everybody(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNAI__LINT_IGNORE", "no-checkpoint-path, image-moves")
    parse(spec=BARE)
    assert told() == []


def test_unknown_codes_are_errors_that_name_place_and_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        SpecError, match=r"lint_ignore: 'no-checkpoint-pat' .* 'no-checkpoint-path'"
    ):
        parse(spec=BARE, lint_ignore=["no-checkpoint-pat"])
    with pytest.raises(SpecError, match="allowed: a list of codes"):
        parse(spec=BARE, lint_ignore="no-checkpoint-path")
    monkeypatch.setenv("AIRFLOW__RUNAI__LINT_IGNORE", "grace-tigth")
    with pytest.raises(SpecError, match=r"\[runai\] lint_ignore: 'grace-tigth' .* 'grace-tight'"):
        parse(spec=BARE)


def test_a_worker_that_parses_the_file_to_run_a_task_says_nothing(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the task runner sets while it parses: airflow.sdk.execution_time.task_runner, 3.3.
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "dag")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "train")
    parse(spec=BARE)
    assert told() == []


def seconds_of_parses(spec: dict[str, Any]) -> float:
    before = time.process_time()
    for _ in range(20):
        parse(spec=spec, retries=2, lint_ignore=["checkpoint-path-not-persistent"])
    return time.process_time() - before


def test_lint_costs_little_more_than_what_airflow_itself_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside the parse of a worker, which lints nothing: how fast the machine is does not matter."""
    variables = {f"V{number}": "{{ params.x }}" for number in range(20)}
    spec = {**LOST, "environment": {**variables, "CHECKPOINTS": "/shared/{{ run_id }}"}}
    parse(spec=spec)
    ratios = []
    for _ in range(5):
        with_lint = seconds_of_parses(spec)
        with monkeypatch.context() as worker:
            worker.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "dag")
            ratios.append(with_lint / seconds_of_parses(spec))
    assert min(ratios) < 4, ratios  # 1.9 when this was written


@pytest.mark.slow
def test_a_dag_without_trainings_does_not_load_the_rules(tmp_path: Path) -> None:
    script = (
        "import sys, airflow_runai.operators.training, airflow_runai.operators.checkpoint\n"
        "print([name for name in sys.modules if name.startswith('airflow_runai.core.lint')])"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

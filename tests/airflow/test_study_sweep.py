"""A sweep that asks Optuna: trained over a real socket, told whatever became of each trial."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_runai.emulator import Emulator
from airflow_runai.errors import SpecError
from airflow_runai.task_groups.sweep import Sweep
from airflow_runai.tasks.study import open_study
from airflow_runai.tasks.study_storage import study_storage
from tests.airflow import test_sweep
from tests.airflow.running import Run, meanwhile
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
JOURNAL = "/shared/digits.journal"
#: With it, the two trials differ.
SEED = 2
#: Fails with one rate; with the other, it saves only when it has been preempted.
TRAIN = """#!/bin/bash
rate=${1#rate=}
[ "$rate" = 0.3 ] && exit 3
mkdir -p "$CHECKPOINTS/step-1"
[ -e "$CHECKPOINTS/../begun" ] || { touch "$CHECKPOINTS/../begun"; sleep 600; }
cp "$(dirname "$0")/good.safetensors" "$CHECKPOINTS/step-1/model.safetensors"
echo "$rate" > "$CHECKPOINTS/../rate"
"""
SCRIPTS = {"train.sh": TRAIN, "evaluate.sh": test_sweep.EVALUATE}


def asking(shared: Path, **given: Any) -> Sweep:
    known: dict[str, Any] = {
        "space": {"rate": [0.3, 0.5]},
        "sampler": {"optuna": 2, "seed": SEED, "study": JOURNAL},
    }
    return test_sweep.sweep(shared, **{**known, **given})


@pytest.mark.slow
def test_trials_are_asked_once_and_told_once_though_one_failed_and_one_was_preempted(
    run: Runner, emulator: Emulator, scripts: Path
) -> None:
    with DAG("dag", schedule=None) as dag:
        asking(scripts)

    def preempt() -> None:
        wait_until(lambda: list(scripts.glob("runs/*/trials/*/begun")), "the training has begun")
        emulator.preempt(emulator.workloads_named("rate-0-5")[0].name)

    night = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with meanwhile(preempt):
        done = run(dag, at=night)
    rows = done.xcom(task_id="sweep.ask")
    assert sorted(row["parameters"]["rate"] for row in rows) == [0.3, 0.5], done.words
    assert done.xcom(task_id="sweep.best")["parameters"] == {"rate": 0.5}
    assert done.xcom(task_id="sweep.tell") == {"told": 2, "failed": 1}
    assert known(scripts) == {0.3: ("FAIL", None), 0.5: ("COMPLETE", 0.5)}
    assert done.task("sweep.trial.train").rendered_map_index in {"rate=0.3", "rate=0.5"}
    names = {re.sub(r"-[0-9a-f]{10}-g1$", "", w.name) for w in emulator.world.workloads.values()}
    assert names == {"rate-0-3", "rate-0-5"}
    # The same run once more, with all lost that Airflow knew of it.
    again = run(dag, at=night)
    assert again.xcom(task_id="sweep.ask") == rows
    assert again.xcom(task_id="sweep.tell") == {"told": 0, "failed": 0}
    assert len(known(scripts)) == 2


def known(shared: Path) -> dict[float, tuple[str, float | None]]:
    """Return state and value of each trial that the study knows, by its rate."""
    with study_storage(JOURNAL, {"/shared": str(shared)}) as storage:
        trials = open_study(storage, "dag.sweep", "accuracy", "max").trials
    return {trial.params["rate"]: (trial.state.name, trial.value) for trial in trials}


@pytest.mark.slow
def test_without_a_study_nothing_is_trained_and_everybody_says_why(
    run: Runner, emulator: Emulator, scripts: Path
) -> None:
    with DAG("dag", schedule=None) as dag:
        asking(scripts, sampler={"optuna": 2, "study": "/shared/missing/digits.journal"})
    done = run(dag)
    assert "study: /shared/missing/digits.journal: cannot be used now: FileNotFound" in done.words
    assert "points: task 'sweep.ask' has no result now; run it first" in done.words
    assert "asked: the study was not asked for trials, so there is nothing to tell" in done.words
    assert not emulator.world.workloads


def test_tasks_of_a_sweep_that_asks(shared: Path) -> None:
    with DAG("dag", schedule=None) as dag:
        made = asking(shared, champion="/shared/champion.json")
    assert made.trials == ()
    assert {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks} == {
        "sweep.ask": [],
        "sweep.trial.train": ["sweep.ask"],
        "sweep.trial.select": ["sweep.trial.train"],
        "sweep.trial.evaluate": ["sweep.trial.select"],
        "sweep.best": ["sweep.trial.evaluate"],
        "sweep.tell": ["sweep.ask", "sweep.trial.evaluate"],
        "sweep.promote": ["sweep.best"],
    }
    assert made.tell is not None
    assert made.tell.study_name == "{{ dag.dag_id }}.sweep"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sampler": {"optuna": 2}}, "sampler.study: missing; give the path of a journal file"),
        ({"sampler": {"optnua": 2}}, "sampler.optnua: did you mean 'optuna'?"),
        ({"sampler": {"optuna": 1025, "study": "x"}}, "space: 1025 points; allowed: 1024"),
        ({"space": {"a-b": [1], "a_b": [2]}}, "space: a-b, a_b would be one variable"),
        ({"space": [{"rate": 1}]}, "allowed: names of parameters to their values"),
        ({"sampler": "grid", "task_arguments": {"ask": {}}}, "task_arguments.ask: no task"),
    ],
)
def test_a_slip_is_known_when_the_dag_is_parsed(
    shared: Path, given: dict[str, Any], words: str
) -> None:
    with DAG("dag", schedule=None), pytest.raises(SpecError) as slip:
        asking(shared, **given)
    assert words in str(slip.value)

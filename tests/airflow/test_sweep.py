"""A sweep as one call: each trial in its folder, the cap kept, the best found whatever failed."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, TaskGroup, task_group

from airflow_runai.emulator import Emulator
from airflow_runai.errors import SpecError
from airflow_runai.operators.sweep import RunaiBestTrialOperator
from airflow_runai.task_groups.sweep import Sweep, runai_sweep
from tests.airflow.running import Run, dag_of

Runner = Callable[..., Run]
POD = {
    "image": "python:3.12",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "backoff_limit": 0,
}
#: Saves one checkpoint, and its rate beside it, which is all that the evaluation reads.
TRAIN = """#!/bin/bash
rate=$(echo "$1" | cut -d= -f2)
[ "$rate" = 0.3 ] && exit 3
mkdir -p "$CHECKPOINTS/step-1"
cp "$(dirname "$0")/good.safetensors" "$CHECKPOINTS/step-1/model.safetensors"
echo "$rate" > "$CHECKPOINTS/../rate"
"""
EVALUATE = """#!/bin/bash
rate=$(cat "$(dirname "$CHECKPOINT")/../rate")
[ "$rate" = 0.4 ] && rate=NaN
echo "{\\"accuracy\\": $rate}" > "$METRICS.part"
mv "$METRICS.part" "$METRICS"
"""
SCRIPTS = {"train.sh": TRAIN, "evaluate.sh": EVALUATE}


def sweep(shared: Path, **given: Any) -> Sweep:
    known: dict[str, Any] = {
        "run_root": "/shared/runs/{{ run_id }}",
        "spec": POD,
        "train": {"command": "/shared/train.sh"},
        "evaluate": {"command": "/shared/evaluate.sh"},
        "metric": "accuracy",
        "max_live": 2,
        "space": {"rate": [0.1, 0.2, 0.3, 0.4]},
        "path_map": {"/shared": str(shared)},
        "task_arguments": {"select": {"accept_unverifiable": True}},
    }
    return runai_sweep(**{**known, **given})


@pytest.mark.slow
def test_the_best_trial_is_promoted_though_others_failed_or_diverged(
    run: Runner, emulator: Emulator, scripts: Path
) -> None:
    with DAG("dag", schedule=None) as dag:
        made = sweep(scripts, champion="/shared/champion.json")
    done = run(dag)
    chosen = done.xcom(task_id="sweep.best")
    assert chosen is not None, done.words
    assert (chosen["trial"], chosen["parameters"]) == (1, {"rate": 0.2})
    assert [(row["score"], row["rank"], bool(row["problem"])) for row in chosen["trials"]] == [
        (0.1, 2, False),
        (0.2, 1, False),
        (None, None, True),
        (None, None, True),
    ]
    assert chosen["trials"][3]["problem"] == "its evaluation gives no finite 'accuracy'"
    champion = json.loads((scripts / "champion.json").read_text())
    assert champion["metrics"] == {"accuracy": 0.2}
    written = json.loads((scripts / "runs" / done.run_id / "trials.json").read_text())
    assert written == chosen["trials"]
    workloads = emulator.world.workloads.values()
    assert {w.name[:8]: w.spec["labels"] for w in workloads} == {
        f"rate-0-{tenth}": [{"name": "rate", "value": f"0.{tenth}"}] for tenth in range(1, 5)
    }
    names = sorted(w.name.rsplit("-", 2)[0] for w in workloads)
    assert names == sorted([*(t.name for t in made.trials), "rate-0-1", "rate-0-2", "rate-0-4"])


@pytest.mark.slow
def test_a_sweep_that_fails_shows_its_trials_all_the_same(
    run: Runner, emulator: Emulator, scripts: Path
) -> None:
    with DAG("dag", schedule=None) as dag:
        sweep(scripts, space={"rate": [0.3]})
    done = run(dag)
    assert "best: 0 of 1 trial has a finite 'accuracy'; needed: 1" in done.words
    (row,) = done.xcom(task_id="sweep.best")["trials"]
    assert (row["score"], row["rank"], bool(row["problem"])) == (None, None, True)


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_one_sentence(run: Runner, shared: Path) -> None:
    (shared / "file").write_text("")
    best: dict[str, Any] = {"points": [{"rate": 0.1}], "evaluations": "task", "metric": "accuracy"}
    report = str(shared / "file" / "trials.json")
    done = run(dag_of(lambda: RunaiBestTrialOperator(task_id="task", report=report, **best)))
    assert done.task().state == "failed"
    assert f"CheckpointUnreadable: report: {report} cannot be written (" in done.words


def rendered(made: Sweep, index: int) -> dict[str, Any]:
    """Return what the training of a trial runs, as its worker sees it."""
    task = copy.copy(made.chain.train)
    known = {"ti": SimpleNamespace(map_index=index), "params": {"epochs": 7}, "run_id": "1"}
    task.render_template_fields(known)  # type: ignore[arg-type]  # what is used of it
    assert isinstance(task.spec, dict)
    return task.spec


def test_parameters_follow_the_trainings_own(shared: Path) -> None:
    given: dict[str, Any] = {
        "space": {"batch-size": [32, 64]},
        "train": {"command": "/shared/train.sh", "args": "epochs={{ params.epochs }}"},
    }
    with DAG("dag", schedule=None):
        told = sweep(shared, **given)
        set_ = sweep(shared, group_id="set", run_root="/shared/set", pass_as="environment", **given)
    assert [rendered(told, index)["args"] for index in (0, 1)] == [
        "epochs=7 batch-size=32",
        "epochs=7 batch-size=64",
    ]
    assert [rendered(set_, index)["environment"]["BATCH_SIZE"] for index in (0, 1)] == ["32", "64"]
    assert rendered(set_, 0)["args"] == "epochs=7"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_live": 0}, "max_live: 0; allowed: a whole number from 1"),
        ({"space": None}, "space: None; allowed: names of parameters to their values"),
        ({"space": {}}, "space: {}; allowed: names of parameters to their values"),
        ({"sampler": "random"}, "sampler: 'random'; allowed: 'grid', {'random': 20}, {'even': 20}"),
        ({"sampler": {"even": 0}}, "sampler.even: 0; allowed: a whole number from 1"),
        ({"sampler": {"evn": 9}}, "sampler.evn: did you mean 'even'?"),
        ({"sampler": {"seed": 9}}, "sampler: {'seed': 9}; allowed: one of 'random', 'even'"),
        ({"sampler": {"random": 9, "seed": -1}}, "sampler.seed: -1; allowed: a whole number"),
        ({"mode": "best"}, "mode: 'best'"),
        ({"submit_when": "later"}, "submit_when: 'later'; allowed: now, quota, idle"),
        ({"pass_as": "args"}, "pass_as: 'args'; did you mean 'arguments'?"),
        ({"train": "runai submit -i x"}, "train: a text; allowed: a specification"),
        ({"train": {"args": ["a", "b"]}}, "train.args: ['a', 'b']; allowed: one text, to which"),
        ({"spec": {"args": 3}}, "spec.args: 3; allowed: one text, to which"),
        ({"min_successful": 5}, "min_successful: 5, of 4 trials; it cannot succeed"),
        ({"task_arguments": {"promote": {}}}, "task_arguments.promote: set, but there is no such"),
        ({"space": {"x": list(range(1025))}}, "more than 1024 points; allowed: 1024"),
        ({"sampler": {"even": 10**6}}, "space: 1000000 points; allowed: 1024, by [core]"),
        (
            {"space": [{"x": x} for x in range(1025)]},
            "more than 1024 points; allowed: 1024, by [core]",
        ),
        ({"space": [{"a": 1}, {"a": 1}]}, "space: 'a=1' is there twice"),
        ({"space": []}, "space: no point in it"),
        ({"space": ["a"]}, "space[0]: 'a'; allowed: names of parameters to values"),
        ({"space": [{"a": [1]}]}, "space.a: [1]; allowed: texts"),
        (
            {"space": {"checkpoints": [1, 2]}, "pass_as": "environment"},
            "space: a parameter would replace the variable CHECKPOINTS; rename it, or use",
        ),
        ({"task_arguments": {"train": None}}, "task_arguments.train: None; allowed: a mapping"),
    ],
)
def test_a_slip_is_one_sentence_with_the_place_of_the_call(
    shared: Path, given: dict[str, Any], words: str
) -> None:
    with DAG("dag", schedule=None), pytest.raises(SpecError) as slip:
        sweep(shared, **given)
    assert words in str(slip.value)
    assert f"({__file__}, line " in str(slip.value)


#: What a shell, Jinja or a careless quote would change.
HOSTILE = [
    "{{ run_id }} {% raw %} {# no #} }}",
    "$(touch /tmp/x); `id` && $HOME | tee > y * ~",
    """it's "quoted" \\ \\n""",
    "two\nlines\r\nand an end\n",
    " tabs\tand  blanks ",
    "é 漢字 \U0001f600",
    "--flag=1",
    "",
    "x" * 5000,
]


@pytest.mark.slow
@pytest.mark.parametrize("pass_as", ["arguments", "environment"])
def test_texts_reach_the_script_word_for_word(
    run: Runner, emulator: Emulator, scripts: Path, pass_as: str
) -> None:
    point = {f"t{number}": text for number, text in enumerate(HOSTILE)}
    given = '"$@"' if pass_as == "arguments" else " ".join(f'"${name.upper()}"' for name in point)
    (scripts / "train.sh").write_text(
        f'#!/bin/bash\nmkdir -p "$CHECKPOINTS"\nprintf "%s\\0" {given} > "$CHECKPOINTS/texts"\nexit 3\n'
    )
    with DAG("dag", schedule=None) as dag:
        sweep(scripts, space=[point], pass_as=pass_as)
    done = run(dag)
    written = scripts / "runs" / done.run_id / "trials" / "0" / "checkpoints" / "texts"
    said = written.read_bytes().decode().split("\0")[:-1]
    if pass_as == "arguments":
        said = [word.partition("=")[2] for word in said]
    assert said == HOSTILE


#: What a DAG that renders native objects would make numbers, ``None`` or lists of.
NUMBERS = {"lr": 1e-4, "seed": "007", "text": "None", "list": "[1, 2]", "quoted": "'two words'"}


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("pass_as", ["arguments", "environment"])
def test_texts_stay_texts_in_a_dag_that_renders_native_objects(
    shared: Path, pass_as: str, native: bool
) -> None:
    spec = {**POD, "compute": {"gpu_devices": "{{ 2 }}"}}
    with DAG("dag", schedule=None, render_template_as_native_obj=native):
        one = sweep(shared, space=[NUMBERS, {"alone": "two words"}], pass_as=pass_as, spec=spec)

    first, second = rendered(one, 0), rendered(one, 1)
    assert first["compute"] == {"gpu_devices": 2 if native else "2"}, "the author's own"
    assert first["labels"] == {"lr": "0.0001", "seed": "007", "text": "None"}
    texts = {name: str(value) for name, value in NUMBERS.items()}
    if pass_as == "arguments":
        assert shlex.split(first["args"]) == [f"{name}={text}" for name, text in texts.items()]
        assert shlex.split(second["args"]) == ["alone=two words"]
    else:
        own = {name.upper(): text for name, text in texts.items()}
        assert {**first["environment"], **own} == first["environment"]
        assert second["environment"]["ALONE"] == "two words"


def test_a_trial_may_have_a_specification_of_its_own(shared: Path) -> None:
    with DAG("dag", schedule=None):
        made = sweep(
            shared,
            spec={**POD, "args": "epochs=7", "environment": {"MODE": "plain"}},
            space=[
                {"rate": 0.1, "spec": {"image": "other:1", "compute": {"gpu_devices": 2}}},
                {"spec": {"args": "epochs=9", "environment": {"MODE": "own"}}},
                {},
            ],
        )
    assert [one.name for one in made.trials] == ["rate-0-1-0", "t-1", "t-2"]
    specs = [rendered(made, index) for index in range(3)]
    assert [(one["args"], one["environment"]["MODE"], one["image"]) for one in specs] == [
        ("epochs=7 rate=0.1", "plain", "other:1"),
        ("epochs=9", "own", "python:3.12"),
        ("epochs=7", "plain", "python:3.12"),
    ]
    assert specs[0]["compute"] == {"gpu_devices": 2}
    assert "compute" not in specs[2]


def test_gates_of_a_sweep_may_compare_with_the_champion(shared: Path) -> None:
    with DAG("dag", schedule=None):
        made = sweep(
            shared, gates=["accuracy >= champion.accuracy"], champion="/shared/champion.json"
        )
    assert made.chain.evaluate is not None
    assert made.chain.evaluate.champion == "/shared/champion.json"


def test_two_sweeps_of_a_dag_have_two_folders(shared: Path) -> None:
    with DAG("dag", schedule=None):
        sweep(shared)
        sweep(shared, group_id="other", run_root="/shared/runs/{{ run_id }}/other")
        with TaskGroup("outer"), pytest.raises(SpecError) as slip:
            sweep(shared, group_id="third", run_root="/shared/runs/{{ run_id }}/")
    assert (
        "run_root: task group 'sweep' keeps its files in /shared/runs/{{ run_id }}/trials"
        in str(slip.value)
    )


def test_a_mapped_group_around_a_sweep_is_refused(shared: Path) -> None:
    with DAG("dag", schedule=None):

        @task_group
        def of_country(country: str) -> None:
            sweep(shared)

        with pytest.raises(SpecError, match="in a mapped task group, in which trials cannot"):
            of_country.expand(country=["nl", "de"])


def test_the_cap_is_that_of_trainings_and_evaluations_together(shared: Path) -> None:
    with DAG("dag", schedule=None):
        made = sweep(shared, max_live=3, submit_when="idle")
    train, evaluate = made.chain.train, made.chain.evaluate
    assert evaluate is not None
    assert train.max_active_tis_per_dagrun == evaluate.max_active_tis_per_dagrun == 3
    assert train.max_live == evaluate.max_live == 3
    assert (
        train.max_live_with
        == evaluate.max_live_with
        == ["sweep.trial.train", "sweep.trial.evaluate"]
    )
    assert (train.submit_when, evaluate.submit_when) == ("idle", "now")


def test_workloads_of_other_tasks_may_count_too(shared: Path) -> None:
    own = {"select": {"accept_unverifiable": True}, "evaluate": {"max_live_with": ["prepare"]}}
    with DAG("dag", schedule=None):
        made = sweep(shared, task_arguments=own)
    assert made.chain.evaluate is not None
    together = ["sweep.trial.train", "sweep.trial.evaluate"]
    assert made.chain.train.max_live_with == together
    assert made.chain.evaluate.max_live_with == [*together, "prepare"]


def test_ids_are_as_short_as_they_can_be(shared: Path) -> None:
    with DAG("dag", schedule=None) as dag:
        sweep(shared, champion="/shared/champion.json")
    assert set(dag.task_ids) == {
        *(f"sweep.trial.{step}" for step in ("train", "select", "evaluate")),
        "sweep.best",
        "sweep.promote",
    }

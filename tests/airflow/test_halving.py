"""Successive halving as one call: each rung goes on where the last one stopped, and only the best do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ConnectionResult, ErrorResponse, GetConnection
from structlog.testing import capture_logs

from airflow_runai.checkpoints.storage.small_files import SmallFile
from airflow_runai.emulator import Emulator
from airflow_runai.errors import InvalidArgument, SpecError
from airflow_runai.operators.trial_end import RunaiEndTrialOperator
from airflow_runai.operators.trial_gate import RunaiTrialGateOperator
from airflow_runai.task_groups.halving import SuccessiveHalving, runai_successive_halving
from airflow_runai.tasks.locations import storage_of
from airflow_runai.tasks.rung_files import Rung, RungQuery
from airflow_runai.triggers.halving import RunaiTrialGateTrigger
from tests.airflow.running import Run, dag_of, meanwhile
from tests.support.waiting import eventually, wait_until

Runner = Callable[..., Run]
POD = {
    "image": "python:3.12",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "backoff_limit": 0,
}
#: Saves a checkpoint of the step at which it is told to stop, and its rate beside it.
TRAIN = """#!/bin/bash
rate=$(echo "$1" | cut -d= -f2)
step=$(echo "$2" | cut -d= -f2)
[ "$rate" = 0.5 ] && exit 3
echo "from $(ls "$CHECKPOINTS" 2>/dev/null | tail -1) to $step"
mkdir -p "$CHECKPOINTS/step-$step"
cp "$(dirname "$0")/good.safetensors" "$CHECKPOINTS/step-$step/model.safetensors"
echo "$rate" > "$CHECKPOINTS/../rate"
"""
EVALUATE = """#!/bin/bash
rate=$(cat "$(dirname "$CHECKPOINT")/../rate")
echo "{\\"accuracy\\": $rate}" > "$METRICS.part"
mv "$METRICS.part" "$METRICS"
"""
SCRIPTS = {"train.sh": TRAIN, "evaluate.sh": EVALUATE}


def halving(shared: Path, **given: Any) -> SuccessiveHalving:
    known: dict[str, Any] = {
        "run_root": "/shared/runs/{{ run_id }}",
        "spec": POD,
        "train": {"command": "/shared/train.sh"},
        "evaluate": {"command": "/shared/evaluate.sh"},
        "metric": "accuracy",
        "max_live": 4,
        "space": {"rate": [0.1, 0.2, 0.3, 0.5]},
        "max_steps": 4,
        "eta": 2,
        "min_steps": 2,
        "path_map": {"/shared": str(shared)},
        "task_arguments": {"select": {"accept_unverifiable": True}},
    }
    return runai_successive_halving(**{**known, **given})


def _read(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}


@pytest.mark.slow
def test_the_best_go_on_from_their_checkpoints_and_the_best_of_them_is_promoted(
    run: Runner, emulator: Emulator, scripts: Path
) -> None:
    # `dag.test` plays one task at a time: a gate that is deferred would keep the others from coming.
    with DAG("dag", schedule=None, default_args={"deferrable": False}) as dag:
        made = halving(scripts, champion="/shared/champion.json", space={"rate": [0.1, 0.2, 0.5]})
    done = run(dag)
    assert made.rungs == (2, 4)
    chosen = done.xcom(task_id="halving.best")
    assert chosen is not None, done.words
    rungs = scripts / "runs" / done.run_id / "rungs"
    assert _read(rungs / "0" / "claims") == {"0": {"trial": 1}}
    assert {trial: one["score"] for trial, one in _read(rungs / "0" / "results").items()} == {
        "0": 0.1,
        "1": 0.2,
    }
    assert sorted(_read(rungs / "ended")) == ["0", "1", "2"]
    assert [row["rung"] for row in chosen["trials"]] == [0, 1, 0]
    assert chosen["trial"] == 1
    champion = json.loads((scripts / "champion.json").read_text())
    assert champion["metrics"] == {"accuracy": 0.2}
    logs = sorted(emulator.log(w.name).strip() for w in emulator.world.workloads.values())
    assert [log for log in logs if log] == [*["from  to 2"] * 2, "from step-2 to 4"]


def gate(shared: Path, **given: Any) -> Callable[[], RunaiTrialGateOperator]:
    known: dict[str, Any] = {
        "task_id": "task",
        "folder": "/shared/rungs",
        "rung": 0,
        "trials": 3,
        "eta": 3,
        "evaluation": {"metrics": {"accuracy": 0.5}},
        "metric": "accuracy",
        "trial": 0,
        "path_map": {"/shared": str(shared)},
    }
    return lambda: RunaiTrialGateOperator(**{**known, **given})


def others(shared: Path, *scores: float) -> None:
    """Write the results of the other trials once the first one waits for them."""
    first = shared / "rungs" / "0" / "results" / "0.json"
    wait_until(first.exists, "the first trial has a result")
    for trial, score in enumerate(scores, start=1):
        query = RungQuery(0, trial, 3, 3, "accuracy", "max")
        Rung(query, SmallFile(shared / "rungs")).record(score)


@pytest.mark.slow
@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "rescheduled"])
@pytest.mark.parametrize(("scores", "state"), [((0.1, 0.2), "success"), ((0.1, 0.9), "skipped")])
def test_a_gate_waits_for_the_others(
    run: Runner, shared: Path, deferrable: bool, scores: tuple[float, ...], state: str
) -> None:
    with meanwhile(lambda: others(shared, *scores)):
        done = run(dag_of(gate(shared, deferrable=deferrable)))
    assert done.task().state == state, done.words
    claims = shared / "rungs" / "0" / "claims"
    assert claims.exists() == (state == "success")
    if state == "success":
        assert _read(claims) == {"0": {"trial": 0}}
        assert done.xcom() == {"trial": 0, "rung": 0, "score": 0.5}


def test_a_storage_that_is_away_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "rungs"
    folder.write_text("not a folder yet")
    query = RungQuery(0, 0, 1, 3, "accuracy", "max")
    storage = {"folder": str(folder), "path_map": None, "storage_conn_id": None}
    trigger = RunaiTrialGateTrigger(query.to_json(), storage, 0.01, min_defer_seconds=0)

    async def fired() -> Any:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        with capture_logs() as logs:
            await eventually(lambda: bool(logs), "it has said why it waits")
        assert [line["event"].endswith("; still waiting") for line in logs] == [True]
        folder.unlink()
        Rung(query, SmallFile(folder)).record(0.5)
        return (await waiting).payload

    assert asyncio.run(fired()) == {"decision": "promote"}


class Supervisor:
    """Stands for Airflow's supervisor at the wire: it has one connection, once the server is back."""

    def __init__(self) -> None:
        self.is_away = True

    def send(self, message: GetConnection) -> Any:
        if self.is_away:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        if message.conn_id == "storage":
            names = ("host", "schema", "login", "password", "port", "extra")
            return ConnectionResult.model_validate(
                {"conn_id": "storage", "conn_type": "aws", **dict.fromkeys(names)}
            )
        return ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)


def test_an_api_server_that_is_away_ends_no_gate_and_a_missing_connection_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.execution_time import task_runner

    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    folder = tmp_path / "rungs"
    query = RungQuery(0, 0, 1, 3, "accuracy", "max")
    Rung(query, SmallFile(folder)).record(0.5)

    def gate_of(conn_id: str) -> RunaiTrialGateTrigger:
        storage = {"folder": str(folder), "path_map": None, "storage_conn_id": conn_id}
        return RunaiTrialGateTrigger(query.to_json(), storage, 0.01, min_defer_seconds=0)

    async def fired() -> list[Any]:
        waiting = [anext(gate_of(name).run()) for name in ("storage", "nobody")]
        tasks = [asyncio.ensure_future(one) for one in waiting]
        with capture_logs() as logs:
            await eventually(lambda: len(logs) == 2, "both have said why they wait")
        assert all("its API server gives no answer; still waiting" in one["event"] for one in logs)
        supervisor.is_away = False
        return [(await one).payload["decision"] for one in tasks]

    there, missing = asyncio.run(fired())
    assert there == "promote"
    assert missing.startswith("storage_conn_id: 'nobody' is not a connection that Airflow can read")


@pytest.mark.parametrize(
    ("folder", "path_map", "storage"),
    [
        ("/shared/runs/1/rungs", {"/shared": "/mnt/a"}, "/mnt/a"),
        ("/shared/runs/1/rungs", {"/shared": "s3://bucket/a"}, "s3://bucket/a"),
        ("s3://bucket/runs/1/rungs", None, "s3://bucket"),
        ("/mnt/b/rungs", None, "/"),
    ],
)
def test_gates_of_a_storage_that_hangs_hold_up_those_of_no_other(
    folder: str, path_map: dict[str, str] | None, storage: str
) -> None:
    """Each storage has threads of its own; see the test of `in_thread`."""
    assert storage_of(folder, path_map) == storage


@pytest.mark.slow
def test_a_result_that_cannot_be_written_now_is_written_later(run: Runner, shared: Path) -> None:
    rungs = shared / "rungs"
    rungs.write_text("not a folder yet")

    looks = []

    def away(context: Any) -> None:
        looks.append(context)
        if len(looks) == 2:
            rungs.unlink()

    alone = gate(shared, trials=1, poll_interval=0.01, pre_execute=away)
    done = run(dag_of(alone))
    assert (done.state, done.task().try_number) == ("success", 1), done.words
    assert len(looks) == 2
    assert _read(rungs / "0" / "results")["0"]["score"] == 0.5


@pytest.mark.slow
def test_files_of_others_are_named_and_one_under_ones_own_name_fails_the_task(
    run: Runner, shared: Path
) -> None:
    results = shared / "rungs" / "0" / "results"
    results.mkdir(parents=True)
    (results / "0.json").write_text('{"trial": 7}')
    done = run(dag_of(gate(shared)))
    assert done.task().state == "failed"
    assert "results/0.json: is no result of trial 0 (trial: 7; needed: 0); remove it" in done.words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_steps": 0}, "max_steps: 0; allowed: a whole number from 1"),
        ({"eta": 1}, "eta: 1; allowed: a whole number from 2"),
        ({"min_steps": 9}, "min_steps: 9; allowed: at most max_steps, 4"),
        ({"max_live": 0}, "max_live: 0; allowed: a whole number from 1"),
        ({"mode": "best"}, "mode: 'best'"),
        ({"submit_when": "later"}, "submit_when: 'later'; allowed: now, quota, idle"),
        ({"min_successful": 99}, "min_successful: 99, of "),
        ({"task_arguments": {"promote": {}}}, "task_arguments.promote: no task"),
        ({"space": {"max-steps": [1, 2]}}, "steps_as: 'max_steps' is a parameter of the space"),
        ({"steps_as": "1"}, "steps_as: '1'; allowed: letters, digits"),
        ({"task_arguments": {"gates": {}}}, "task_arguments.gates: no task; did you mean 'gate'?"),
        ({"space": {}}, "space: {}; allowed: names of parameters to their values"),
        (
            {"sampler": {"optuna": 9, "study": "x"}},
            "sampler.optuna: only `runai_sweep` asks a study; allowed: 'grid', {'random': 20}",
        ),
    ],
)
def test_a_slip_is_one_sentence_with_the_place_of_the_call(
    shared: Path, given: dict[str, Any], words: str
) -> None:
    with DAG("dag", schedule=None), pytest.raises(SpecError) as slip:
        halving(shared, **given)
    assert words in str(slip.value)
    assert f"({__file__}, line " in str(slip.value)


def test_a_slip_in_a_gate_is_known_when_it_is_made(shared: Path) -> None:
    with pytest.raises(InvalidArgument) as slip:
        gate(shared, rung=-1, trials="3", eta=1)()
    assert len(slip.value.problems) == 3
    assert "eta: 1; allowed: a whole number from 2" in str(slip.value)
    with pytest.raises(InvalidArgument, match="trials: 0; allowed: a whole number from 1"):
        RunaiEndTrialOperator(task_id="end", folder="/shared/rungs", trials=0)


def test_a_rung_has_what_a_sweep_has(shared: Path) -> None:
    point = {"rate": 0.1, "spec": {"image": "other:1", "args": "fast=1"}}
    gates = ["accuracy >= champion.accuracy"]
    with DAG("dag", schedule=None):
        made = halving(
            shared,
            space=(one for one in [point, {"rate": 0.2}]),
            champion="/shared/champion.json",
            gates=gates,
            prefix_group_id=False,
        )
    variants: list[Any] = [chain.train.variants for chain in made.chains]
    told = [(first["spec"]["image"], first["spec"]["args"]) for first, _ in variants]
    assert told == [("other:1", f"fast=1 rate=0.1 max_steps={steps}") for steps in made.rungs]
    evaluate = made.chains[-1].evaluate
    assert evaluate is not None
    assert (list(evaluate.gates), evaluate.champion) == (gates, "/shared/champion.json")
    assert made.best.upstream_task_ids == {"trial.end"}


def test_a_trial_is_one_instance_of_one_mapped_group(shared: Path) -> None:
    with DAG("dag", schedule=None) as dag:
        made = halving(
            shared,
            champion="/shared/champion.json",
            gates=["accuracy >= 0.2"],
            submit_when="idle",
        )
    steps = ("train", "select", "evaluate")
    assert set(dag.task_ids) == {
        *(f"halving.trial.rung-{rung}.{step}" for rung in (0, 1) for step in steps),
        "halving.trial.rung-0.gate",
        "halving.trial.end",
        "halving.best",
        "halving.promote",
    }
    assert made.chains[1].train.upstream_task_ids == {"halving.trial.rung-0.gate"}
    assert made.best.upstream_task_ids == {"halving.trial.end"}
    workloads = {f"halving.trial.rung-{rung}.{step}" for rung in (0, 1) for step in steps[::2]}
    for one in made.chains:
        assert one.evaluate is not None
        assert set(one.train.max_live_with) == set(one.evaluate.max_live_with) == workloads
        assert (one.train.max_live, one.evaluate.max_live) == (4, 4)
        assert (one.train.submit_when, one.evaluate.submit_when) == ("idle", "now")
    assert [list(one.evaluate.gates) for one in made.chains if one.evaluate] == [
        [],
        ["accuracy >= 0.2"],
    ]
    assert made.best.evaluations == "halving.trial.rung-1.evaluate"

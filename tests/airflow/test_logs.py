"""What a training says reaches the task log: ends of incarnations, what is new, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import Emulator
from airflow_runai.errors import SpecError
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Person, Run, dag_of, meanwhile
from tests.airflow.test_checkpoints import evaluating, write
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])
SECRET = "hf_abcdefghijklmnop"
#: Says where it starts, what it is told, and goes on where it was; the second time it ends. Its last
#: words go with its pod, so it stays until they were asked for.
TRAINING = """#!/bin/bash
echo "token is $HF_TOKEN"
mark=$(dirname "$0")/was-here
test -e $mark && { echo "resumed"; exit ${EXIT_CODE:-0}; }
trap 'touch $mark; echo "saving at step 7"
until test -e $mark-asked; do sleep 0.1; done; exit 1' TERM
echo "epoch 1"
sleep 100 & wait
"""


@pytest.fixture
def spec(shared: Path) -> dict[str, Any]:
    """A training that is preempted once, and ends in its second incarnation."""
    script = shared / "train.sh"
    script.write_text(TRAINING)
    script.chmod(0o755)
    return {
        "image": "x",
        "command": "/shared/train.sh",
        "compute": {"gpu_devices": 1},
        "environment": {"HF_TOKEN": SECRET},
        "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
        "backoff_limit": 0,
        "termination_grace_period": 120,
    }


def training(spec: dict[str, Any], **given: Any) -> Callable[[], RunaiTrainingOperator]:
    return lambda: RunaiTrainingOperator(
        task_id="task", spec=spec, workload_name="trains", poll_interval=0.1, **given
    )


def preempted_once(emulator: Emulator, shared: Path) -> Callable[[], None]:
    def preempt() -> None:
        Person(emulator).wait_for("trains", "Running")
        (one,) = emulator.workloads_named("trains")
        wait_until(lambda: "epoch 1" in emulator.log(one.name), "the training to begin")
        emulator.preempt(one.name)
        wait_until(lambda: "saving" in emulator.log(one.name, 1), "its last words")
        before = downloads(emulator)
        wait_until(lambda: downloads(emulator) > before or one.phase != "Terminating", "a look")
        (shared / "was-here-asked").touch()

    return preempt


def downloads(emulator: Emulator) -> int:
    return sum(request.path.endswith("/logs/download") for request in emulator.requests)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The sentences of the task logs, without moment, level and source."""
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    return [line.partition("] ")[2].partition(" [airflow_runai")[0].rstrip() for line in lines]


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in said(capsys) if line.startswith(("| ", "log of "))]


@pytest.mark.slow
@both
def test_each_incarnation_that_ends_leaves_its_tail(
    run: Runner,
    emulator: Emulator,
    shared: Path,
    spec: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    deferrable: bool,
) -> None:
    spec["environment"]["EXIT_CODE"] = "3"
    with meanwhile(preempted_once(emulator, shared)):
        done = run(dag_of(training(spec, deferrable=deferrable)))
    assert (done.state, done.task().try_number) == ("failed", 1)
    name = emulator.workloads_named("trains")[0].name
    lines = log_lines(capsys)
    first, second = (lines.index(one) for one in lines if one.startswith("log of"))
    assert re.fullmatch(f"log of {name}, incarnation 1 on node-[12]:", lines[first])
    assert lines[first + 1 : second] == ["| token is ***", "| epoch 1", "| saving at step 7"]
    assert re.fullmatch(f"log of {name}, incarnation 2 on node-[12]:", lines[second])
    assert lines[second + 1 :] == ["| token is ***", "| resumed"]
    assert done.xcom("runai_timeline")["log_tail"] == lines[second:]


@pytest.mark.slow
def test_followed_each_line_is_shown_once(
    run: Runner,
    emulator: Emulator,
    shared: Path,
    spec: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with meanwhile(preempted_once(emulator, shared)):
        done = run(dag_of(training(spec, get_logs="follow", deferrable=True)))
    assert done.state == "success"
    shown = [line for line in log_lines(capsys) if line.startswith("|")]
    assert shown == [
        *("| token is ***", "| epoch 1", "| saving at step 7"),
        *("| token is ***", "| resumed"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "shown"),
    [({}, []), ({"tail_on_success": True}, ["| done"]), ({"get_logs": "off"}, [])],
    ids=str,
)
def test_a_success_shows_its_tail_if_that_is_wanted(
    run: Runner,
    emulator: Emulator,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, Any],
    shown: list[str],
) -> None:
    quick = {"image": "x", "command": "echo done", "compute": {"gpu_devices": 1}}
    assert run(dag_of(training(quick, deferrable=False, **given))).state == "success"
    assert [line for line in log_lines(capsys) if line.startswith("|")] == shown
    asked = [one for one in emulator.requests if one.path.startswith("/cluster-api")]
    assert bool(asked) == bool(shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 403},
        {"kind": "html", "status": 200},
        {"kind": "reset"},
        {"kind": "lose_reply"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_a_log_that_cannot_be_had_is_a_sentence_and_no_more(
    run: Runner,
    emulator: Emulator,
    shared: Path,
    spec: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    fault: dict[str, Any],
) -> None:
    emulator.faults.add(**fault, path="/cluster-api/*", times=None)
    with meanwhile(preempted_once(emulator, shared)):
        done = run(dag_of(training(spec, deferrable=True, tail_on_success=True)))
    assert (done.state, done.task().try_number) == ("success", 1)
    told = [line for line in said(capsys) if "cannot be read" in line]
    assert len(told) == 1, told


def test_an_unknown_word_is_refused_when_the_dag_is_parsed(spec: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="get_logs: 'all'; allowed: tail, follow, off"):
        training(spec, get_logs="all")()


JUDGED: dict[str, tuple[str, dict[str, Any], int]] = {
    "no metrics": ("true", {}, 1),
    "a gate": (write('{"accuracy": 0.5}'), {"gates": ["accuracy >= 0.9"]}, 1),
    "shown already": ("true", {"tail_on_success": True}, 1),
    "off": ("true", {"get_logs": "off"}, 0),
    "all is well": (write('{"accuracy": 0.95}'), {}, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", JUDGED)
def test_an_evaluation_that_cannot_be_judged_shows_the_end_of_its_log_once(
    run: Runner, emulator: Emulator, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    command, given, times = JUDGED[what]
    run(dag_of(evaluating(f"echo its last words; {command}", deferrable=False, **given)))
    assert said(capsys).count("| its last words") == times

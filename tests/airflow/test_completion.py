"""Exit code 0 after a preemption: no silent success, and no honest end that is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.core.decision import Snapshot, WaitPolicy, decide
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.completion import confirmed
from airflow_runai.training import preemptible
from tests.airflow.running import Person, Run, dag_of, meanwhile
from tests.core.stage import NOON, acts
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])
#: Told to leave, it ends at once, with 0; the second time it comes to its end.
SCRIPT = """#!/bin/sh
trap "exit 0" TERM
test -e $1/second && { touch $1/resumed; exit 0; }
touch $1/first
while true; do sleep 0.05; done
"""
#: Saves its last step within the grace.
HONEST = """#!/bin/sh
trap 'cp -r '$1'/ready '$1'/ckpt/step-00000020; exit 0' TERM
touch $1/first
while true; do sleep 0.05; done
"""
SPEC: dict[str, Any] = {
    "image": "python:3.12",
    "compute": {"gpu_devices": 1},
    "backoff_limit": 0,
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
}


def training(script: Path, **given: Any) -> Callable[[], RunaiTrainingOperator]:
    spec = {**SPEC, "command": f"sh /shared/{script.name} /shared"}
    return lambda: RunaiTrainingOperator(
        **{"task_id": "task", "spec": spec, "workload_name": "taken", **given}
    )


def script(shared: Path, text: str) -> Path:
    path = shared / "startup.sh"
    path.write_text(text)
    return path


@contextmanager
def preempted_once(emulator: Emulator, shared: Path, slug: str = "taken") -> Iterator[None]:
    def preempt() -> None:
        Person(emulator).wait_for(slug, "Running")
        wait_until((shared / "first").exists, "the script has set its trap")
        (shared / "second").touch()
        emulator.preempt(emulator.workloads_named(slug)[-1].name)

    with meanwhile(preempt):
        yield


@pytest.mark.slow
@both
def test_it_fails_with_that_sentence_and_its_retry_goes_on_in_another_workload(
    run: Runner, emulator: Emulator, shared: Path, deferrable: bool
) -> None:
    made = training(script(shared, SCRIPT), deferrable=deferrable, retries=1)
    with preempted_once(emulator, shared):
        done = run(dag_of(made))
    assert done.state == "success"
    assert "exit code 0 after the platform had begun to take it away" in done.words
    assert "143" in done.words
    assert "expected_steps" in done.words
    assert (shared / "resumed").exists()
    first, second = emulator.workloads_named("taken")
    assert first.phase == second.phase == "Completed"
    assert done.task().try_number == 2
    assert done.xcom()["name"] == second.name


@pytest.mark.slow
def test_an_author_can_allow_it(run: Runner, emulator: Emulator, shared: Path) -> None:
    made = training(script(shared, SCRIPT), allow_exit_on_preemption=True)
    with preempted_once(emulator, shared):
        assert run(dag_of(made)).state == "success"


def save(root: Path, step: int) -> None:
    with preemptible.save_checkpoint(root, step) as folder:
        (folder / "weights.bin").write_bytes(bytes(range(64)))


@pytest.mark.slow
@pytest.mark.parametrize("expected", [20, 30])
def test_an_honest_last_step_is_a_success(
    run: Runner, emulator: Emulator, shared: Path, expected: int
) -> None:
    save(shared, 20)
    (shared / "step-00000020").rename(shared / "ready")
    save(shared / "ckpt", 10)
    spec = {
        **SPEC,
        "command": "sh /shared/startup.sh /shared",
        "environment": {"CHECKPOINTS": "/shared/ckpt"},
    }
    script(shared, HONEST)
    goal = {"expected_steps": "{{ params.steps }}", "path_map": {"/shared": str(shared)}}
    made = training(Path("startup.sh"), spec=spec, params={"steps": expected}, **goal)
    with preempted_once(emulator, shared):
        done = run(dag_of(made))
    assert done.state == ("success" if expected == 20 else "failed")
    if expected == 30:
        assert "no whole checkpoint in /shared/ckpt has reached step 30" in done.words


def outcome_of(*story: Any, **changes: Any) -> Outcome:
    timeline = acts((0, "Creating"), (10, "Running"), *story)
    seen = Snapshot(Workload("w-1", "train-g1", timeline[-1].phase), timeline, NOON + 1000)
    found = decide(WaitPolicy(), seen)
    assert isinstance(found, Outcome)
    return replace(found, **changes)


GOING_DOWN = ((100, "Terminating"), (105, "Completed"))
PREEMPTED = ((100, "Terminating", "Preempted"), (105, "Completed"))


def test_where_the_platform_does_not_say_why_it_is_a_warning(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    ended = outcome_of(*GOING_DOWN)
    assert confirmed(ended, lambda: None, allowed=False) is ended
    assert "train-g1 completed while it was going down (Terminating)" in caplog.text
    caplog.clear()
    save(tmp_path, 20)
    known = CheckpointRoot(str(tmp_path), expected_steps=20)
    assert confirmed(ended, lambda: known, allowed=False) is ended
    assert confirmed(ended, lambda: None, allowed=True) is ended
    assert caplog.text == ""


def test_checkpoints_that_cannot_be_read_prove_nothing(tmp_path: Path) -> None:
    missing = CheckpointRoot(str(tmp_path / "none"), expected_steps=20)
    found = confirmed(outcome_of(*PREEMPTED), lambda: missing, allowed=False)
    assert found.status == "failed"
    assert "cannot be read from its checkpoints" in found.reason


def test_a_torn_last_checkpoint_is_no_end(tmp_path: Path) -> None:
    save(tmp_path, 20)
    (tmp_path / "step-00000020" / "weights.bin").write_bytes(b"torn")
    found = confirmed(
        outcome_of(*PREEMPTED), lambda: CheckpointRoot(str(tmp_path), expected_steps=20), False
    )
    assert found.status == "failed"


def test_where_nothing_is_in_doubt_no_checkpoint_is_read() -> None:
    def read() -> CheckpointRoot | None:
        raise AssertionError("nobody needs it")

    for ended in (outcome_of((100, "Completed")), outcome_of((100, "Failed"))):
        assert confirmed(ended, read, allowed=False) is ended


#: Ignores that it is told to leave, until it has been killed once.
STUBBORN = """#!/bin/sh
trap "" TERM
test -e $1/second && exit 0
touch $1/first
while true; do sleep 0.05; done
"""


@pytest.mark.slow
def test_what_is_killed_at_the_end_of_its_grace_is_reported_so(
    run: Runner, emulator: Emulator, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = script(shared, STUBBORN)
    spec = {**SPEC, "command": f"sh /shared/{made.name} /shared", "termination_grace_period": 1}
    with preempted_once(emulator, shared):
        done = run(dag_of(training(made, spec=spec, deferrable=False)))
    assert done.state == "success"
    assert done.xcom()["kills"] == 1
    assert "was killed once: it did not leave within its grace of 1 s" in caplog.text

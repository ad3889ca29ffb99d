"""Exit code 0 after a preemption: no silent success, and no honest end that is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
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
from airflow_runai.sensors.workload import RunaiWorkloadSensor
from airflow_runai.tasks import completion, step_readers
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.completion import SILENCE, confirmed, count_kills, grace_of, unless_silent
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


@pytest.mark.parametrize("allowed", [False, True])
def test_a_sensor_warns_too(caplog: pytest.LogCaptureFixture, allowed: bool) -> None:
    sensor = RunaiWorkloadSensor(
        task_id="task", workload="train-g1", allow_exit_on_preemption=allowed
    )
    nowhere: Any = {}
    sensor.execute_complete(nowhere, outcome_of(*GOING_DOWN).to_event())
    words = "train-g1 completed while it was going down (Terminating)"
    assert (words in caplog.text) is not allowed


def test_words_of_a_preemption_on_the_end_itself_are_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = outcome_of((100, "Completed", "Preempted by team-b"))
    assert confirmed(ended, lambda: None, allowed=False) is ended
    assert 'spoken of a preemption (Completed: "Preempted by team-b")' in caplog.text


def test_for_a_warning_no_checkpoint_is_opened(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    # Not to be read, whatever is in it.
    (tmp_path / "step-00000020").mkdir(mode=0)
    ended = outcome_of(*GOING_DOWN)
    known = CheckpointRoot(str(tmp_path), expected_steps=20)
    assert confirmed(ended, lambda: known, allowed=False) is ended
    assert caplog.text == ""
    more = replace(known, expected_steps=21)
    assert confirmed(ended, lambda: more, allowed=False) is ended
    assert f"no checkpoint in {tmp_path} is of step 21" in caplog.text


@pytest.fixture
def hung() -> Iterator[CheckpointRoot]:
    """A root in a storage that does not answer, until the test has ended."""
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]  # has no types

    gate = threading.Event()

    class Hung(MemoryFileSystem):  # type: ignore[misc]  # has no types
        def ls(self, *_: Any, **__: Any) -> Any:
            assert gate.wait(60)
            raise OSError("too late")

        info = ls

    attach("memory", conn_id="hung", fs=Hung(skip_instance_cache=True))
    yield CheckpointRoot("memory:///ckpt", None, "hung", expected_steps=20)
    gate.set()


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_a_root_that_hangs_holds_no_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hung: CheckpointRoot
) -> None:
    monkeypatch.setattr(step_readers, "GIVEN_UP", 0.05)
    monkeypatch.setattr(completion, "SILENCE", 0.05)
    ended = outcome_of(*GOING_DOWN)
    assert confirmed(ended, lambda: hung, allowed=False) is ended
    assert "the checkpoints in memory:///ckpt cannot be listed" in caplog.text
    found = confirmed(outcome_of(*PREEMPTED), lambda: hung, allowed=False)
    assert found.status == "failed"
    assert "cannot be read from its checkpoints (no answer within 0 s)" in found.reason


class SlowTime:
    """
    Time that passes only while the worker waits: almost as long as silence may take, and then the
    reading goes on.
    """

    def __init__(self, turns: int) -> None:
        self.now, self.turns = 0.0, turns
        self.read, self.heard = threading.Semaphore(0), threading.Semaphore(0)

    def monotonic(self) -> float:
        return self.now

    def wait(self, answers: list[Future[str]], timeout: float) -> Any:
        assert 0 < timeout <= SILENCE
        if not self.turns:
            return wait(answers, 60)
        self.turns -= 1
        self.now += 0.9 * SILENCE
        self.read.release()
        assert self.heard.acquire(timeout=60)
        return wait(answers, 0)


def test_a_large_checkpoint_is_read_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    passing = SlowTime(turns=100)
    monkeypatch.setattr(completion, "time", passing)
    monkeypatch.setattr(completion, "wait", passing.wait)

    def reading(clock: Callable[[], float]) -> str:
        for _ in range(100):
            assert passing.read.acquire(timeout=60)
            clock()
            passing.heard.release()
        return "whole"

    assert unless_silent(reading) == "whole"
    assert passing.now > 12 * 3600


def test_what_reading_raises_is_raised_here() -> None:
    def reading(_: object) -> None:
        raise TimeoutError("the storage's own")

    with pytest.raises(TimeoutError, match="own"):
        unless_silent(reading)


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


KEY = "terminationGracePeriodSeconds"


@pytest.mark.parametrize(
    ("given", "grace"),
    [
        ({}, 30.0),
        ({"termination_grace_period": 120}, 120.0),
        ({"termination_grace_period": "120"}, 120.0),
        ({"termination_grace_period": 120.0}, 120.0),
        ({"termination_grace_period": None}, 30.0),
        ({"termination_grace_period": 60, "raw": {KEY: 240}}, 240.0),
        ({"raw": {KEY: "soon"}}, None),
        ({"template_id": "t-1"}, None),
        ({"template_id": "t-1", "termination_grace_period": "90"}, 90.0),
        (
            {
                "termination_grace_period": 60,
                "distributed": {"framework": "PyTorch", "master": {"image": "x"}},
            },
            60.0,
        ),
        (
            {
                "termination_grace_period": 60,
                "distributed": {
                    "framework": "PyTorch",
                    "master": {"termination_grace_period": "90"},
                },
            },
            90.0,
        ),
    ],
)
def test_the_grace_is_the_one_that_is_sent(given: dict[str, Any], grace: float | None) -> None:
    assert grace_of({**SPEC, **given}) == grace


@pytest.mark.parametrize(("grace", "killed"), [("50", 1), ("120", 0)])
def test_a_leave_is_measured_by_the_grace_that_a_template_rendered(
    caplog: pytest.LogCaptureFixture, grace: str, killed: int
) -> None:
    ended = outcome_of((100, "Terminating", "Preempted"), (160, "Pending"), (170, "Failed"))
    assert count_kills(ended, grace_of({**SPEC, "termination_grace_period": grace})) == killed
    assert ("was killed once" in caplog.text) == bool(killed)
    assert count_kills(ended, None) == 0

"""
The checkpoint sensor, deferred and poking: it sees what a training has left while that goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from airflow.sdk import Asset, BaseOperator
from safetensors.numpy import load_file, save_file

from airflow_runai.backends import control_plane
from airflow_runai.core.flow import Flow, drive
from airflow_runai.emulator import Emulator
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.sensors.checkpoint import RunaiCheckpointSensor
from airflow_runai.tasks.checkpoint_query import CheckpointQuery
from airflow_runai.tasks.checkpoint_wait import (
    CallApi,
    CheckpointWait,
    FetchTaskState,
    FetchXCom,
    ReadStorage,
    Step,
    WorkloadStatus,
)
from airflow_runai.training import preemptible
from airflow_runai.triggers.checkpoint import READERS, RunaiCheckpointTrigger, in_thread
from tests.airflow.running import Person, Run, dag_of, event_of, meanwhile
from tests.airflow.test_checkpoints import publish
from tests.backends.rest import BACKEND
from tests.support.patience import PATIENCE
from tests.support.waiting import eventually, wait_until

Runner = Callable[..., Run]
T = TypeVar("T")
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "poking"])


def sensor(**given: Any) -> Callable[[], RunaiCheckpointSensor]:
    paths = {"/shared": "{{ var.value.runai_shared }}"}
    known = {
        "task_id": "task",
        "root": "/shared/ckpt",
        "path_map": paths,
        "poke_interval": 0.1,
        "timeout": 3600,
    }
    return lambda: RunaiCheckpointSensor(**{**known, **given})


@pytest.fixture
def root(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW_VAR_RUNAI_SHARED", str(shared))
    return shared / "ckpt"


# -- waiting
# -----------------------------------------------------------------------------------------------------------
MODES: dict[str, dict[str, Any]] = {
    "deferred": {},
    "poking": {"deferrable": False},
    "rescheduled": {"deferrable": False, "mode": "reschedule", "poke_interval": 0.5},
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_it_waits_for_the_step_and_for_its_bytes_to_be_whole(
    run: Runner, root: Path, mode: str
) -> None:
    asset, seen = Asset("sensed_checkpoint"), threading.Event()

    def train() -> None:
        for step in (10, 20, 30):
            made = publish(root.parent / "elsewhere", step)
            if step == 20:
                os.truncate(made / "model.safetensors", 100)
            root.mkdir(exist_ok=True)
            made.rename(root / made.name)  # only now, so that nobody sees the torn one whole
            seen.wait(0.3)

    with meanwhile(train):
        done = run(dag_of(sensor(min_step="{{ 15 }}", outlets=[asset], **MODES[mode])))
    assert done.state == "success", done.words
    result = done.xcom()
    assert (result["step"], result["path"]) == (30, "/shared/ckpt/step-00000030")
    assert event_of("sensed_checkpoint") == {**result, "refused": len(result["refused"])}


@pytest.mark.slow
@both
@pytest.mark.parametrize(("soft", "state"), [(False, "failed"), (True, "skipped")])
def test_a_timeout_says_why_nothing_passed(
    run: Runner, root: Path, deferrable: bool, soft: bool, state: str
) -> None:
    publish(root, 10)
    done = run(dag_of(sensor(min_step=11, timeout=0.3, soft_fail=soft, deferrable=deferrable)))
    assert done.task().state == state
    if not soft:
        assert "AirflowSensorTimeout" in done.words


@pytest.mark.slow
@both
@pytest.mark.parametrize("how", ["name", "task"])
def test_a_workload_that_ended_without_such_a_checkpoint_ends_the_wait(
    run: Runner, emulator: Emulator, root: Path, deferrable: bool, how: str
) -> None:
    publish(root, 10)
    steps: list[Callable[[], BaseOperator]] = []
    if how == "task":
        spec = {"image": "x", "compute": {"gpu_devices": 1}}
        steps = [lambda: RunaiTrainingOperator(task_id="train", spec=spec, workload_name="short")]
    else:
        Person(emulator).submit("team-a", "short-theirs")
    workload: Any = {"task_id": "train"} if how == "task" else "short-theirs"
    done = run(
        dag_of(*steps, sensor(min_step=11, workload=workload, deferrable=deferrable, retries=2))
    )
    assert done.task().state == "failed"
    assert "succeeded (Completed) without a checkpoint that passes" in done.words
    assert "none of 0 checkpoints passed" in done.words
    (ended,) = emulator.workloads_named("short")
    assert f"its page: {emulator.url}/workloads?search={ended.name}" in done.words
    assert f"`airflow runai logs {ended.name} --project team-a`" in done.words
    assert done.task().try_number == 1


@pytest.mark.slow
@both
def test_a_workload_that_nobody_has_submitted_yet_ends_nothing(
    run: Runner, emulator: Emulator, root: Path, deferrable: bool
) -> None:
    publish(root, 10)
    later = partial(BaseOperator, task_id="train")
    done = run(dag_of(sensor(workload={"task_id": "train"}, deferrable=deferrable), later))
    assert done.xcom()["step"] == 10
    emulator.faults.add("status", status=503, times=1, path="/api/v1/workloads*")
    done = run(dag_of(sensor(workload="never-submitted", deferrable=deferrable)))
    assert done.xcom()["step"] == 10


@pytest.mark.slow
def test_a_control_plane_that_does_not_answer_says_nothing_about_checkpoints(
    run: Runner, root: Path, connect: Callable[..., None]
) -> None:
    connect("http://127.0.0.1:9")
    publish(root, 10)
    looking = partial(
        NoPatience, task_id="task", root=str(root), workload="theirs", deferrable=False
    )
    assert run(dag_of(looking)).xcom()["step"] == 10


class NoPatience(RunaiCheckpointSensor):
    """Takes the first "nobody answers" for an answer."""

    @property
    def _hook(self) -> Any:
        return NoPatienceHook(self.runai_conn_id)


class NoPatienceHook(RunaiHook):
    """Sleeps not at all."""

    def run(self, flow: Flow[T], on_notice: Any = None, sleep: Any = None) -> T:
        """Drive a flow without its sleeps."""
        return super().run(flow, on_notice, lambda _: None)


@both
def test_a_root_that_cannot_become_one_ends_the_wait(
    run: Runner, root: Path, deferrable: bool
) -> None:
    root.write_text("x")
    done = run(dag_of(sensor(retries=2, deferrable=deferrable)))
    assert "is a file; a directory with checkpoints is expected" in done.words
    assert done.task().try_number == 1


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"min_step": "{{ 'soon' }}"}, "min_step: 'soon'"),
    (
        {"min_step": 5, "requirements": {"min_step": 6}},
        "requirements: min_step: 6 here, and 5 beside it; name it once",
    ),
    ({"requirements": {"worlds": 2}}, "requirements: 'worlds': unknown; allowed: min_step"),
    ({"root": "s4://bucket"}, "path: 's4://bucket'"),
    ({"workload": {"task": "train"}}, "workload: {'task': 'train'}; allowed"),
    ({"workload": {"task_id": "tsk"}}, "workload: no task 'tsk' in DAG 'dag'; there are task"),
    ({"workload": {"task_id": "task", "map_index": "x"}}, "'map_index': 'x'}; allowed"),
    ({"workload": "{{ 'a,b' }}"}, "workload: 'a,b' cannot be looked up"),
]


@pytest.mark.slow
@both
@pytest.mark.parametrize(("given", "words"), WRONG, ids=[words for _, words in WRONG])
def test_wrong_arguments_are_named_before_anything_is_waited_for(
    run: Runner, emulator: Emulator, root: Path, deferrable: bool, given: dict[str, Any], words: str
) -> None:
    done = run(dag_of(sensor(retries=2, deferrable=deferrable, **given)))
    assert words in done.words
    assert done.task().try_number == 1


def test_what_is_wrong_in_the_file_is_told_when_it_is_parsed() -> None:
    with pytest.raises(ValueError, match="level: 7; allowed: 0 listing"):
        sensor(level=7)()
    with pytest.raises(ValueError, match="on_invalid: 'quarantine' without a workload"):
        sensor(on_invalid="quarantine")()
    with pytest.raises(ValueError, match="on_invalid: 'veto'; allowed: 'keep' or 'quarantine'"):
        sensor(on_invalid="veto")()


# -- one round
# ---------------------------------------------------------------------------------------------------------
def reading(made: list[Step]) -> Callable[[Step], Any]:
    """Do what a round asks for, without a control plane, and take note of it."""

    def do(step: Step) -> Any:
        made.append(step)
        return step.call(lambda _: None) if isinstance(step, ReadStorage) else None

    return do


def test_a_root_in_which_nothing_has_changed_is_not_read_again(tmp_path: Path) -> None:
    publish(tmp_path, 10)
    wait, made = CheckpointWait(CheckpointQuery(str(tmp_path), min_step=20)), list[Step]()
    assert drive(wait.poll(), reading(made)) is None
    first = len(made)
    assert drive(wait.poll(), reading(made)) is None
    assert len(made) - first == 1, "only the listing"
    publish(tmp_path, 20)
    event = drive(wait.poll(), reading(made))
    assert event is not None
    assert event["result"]["step"] == 20


def test_what_was_wanted_before_is_no_reason_not_to_read(tmp_path: Path) -> None:
    publish(tmp_path, 10)
    wait = CheckpointWait(CheckpointQuery(str(tmp_path), min_step=20))
    assert drive(wait.poll(), reading([])) is None
    again = CheckpointWait(replace(wait.query, min_step=10), change_token=wait.change_token)
    assert drive(again.poll(), reading([])) is not None


def test_what_is_being_written_is_read_again_even_if_its_listing_is_the_same(
    tmp_path: Path,
) -> None:
    made = publish(tmp_path, 10)
    (made / "checkpoint-is-incomplete.txt").touch()
    wait, steps = CheckpointWait(CheckpointQuery(str(tmp_path))), list[Step]()
    for _ in range(2):
        assert drive(wait.poll(), reading(steps)) is None
    assert len(steps) == 4
    assert "in_progress" in wait.reason


WORKLOAD = {"dag_id": "dag", "run_id": "now", "task_id": "train", "map_index": -1}


def test_the_workload_is_asked_before_the_storage_is_read(tmp_path: Path) -> None:
    wait, order = CheckpointWait(CheckpointQuery(str(tmp_path)), WORKLOAD), list[str]()

    def do(step: Step) -> Any:
        order.append(type(step).__name__)
        if isinstance(step, FetchXCom):
            return {"id": "7", "name": "train-g1"}
        if isinstance(step, CallApi):
            publish(tmp_path, 10)  # its last checkpoint, and then it ends
            return ended(step.flow(BACKEND))
        if isinstance(step, FetchTaskState):
            return "failed"
        return step.call(lambda _: None)

    event = drive(wait.poll(), do)
    assert order == ["FetchXCom", "CallApi", "FetchTaskState", "ReadStorage", "ReadStorage"]
    assert event is not None
    assert event["status"] == "found"


def ended(flow: Flow[Any]) -> Any:
    """What the control plane says of a workload that has completed."""
    flow.close()
    return WorkloadStatus("workload train-g1 failed (Failed)")


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("up_for_retry", None),
        ("deferred", None),
        (None, None),
        ("failed", "ended"),
        ("success", "ended"),
    ],
)
def test_a_training_that_airflow_tries_again_has_not_ended(
    tmp_path: Path, state: str | None, end: str | None
) -> None:
    wait = CheckpointWait(CheckpointQuery(str(tmp_path)), WORKLOAD)
    event = drive(wait.poll(), training_task({"id": "7", "name": "train-g1"}, state))
    assert (event and event["status"]) == end


def test_a_task_that_failed_before_it_submitted_ends_the_wait(tmp_path: Path) -> None:
    wait = CheckpointWait(CheckpointQuery(str(tmp_path)), WORKLOAD)
    assert drive(wait.poll(), training_task(None, "running")) is None
    event = drive(wait.poll(), training_task(None, "failed"))
    assert event is not None
    assert event["words"].startswith(
        "task train is failed and has left no workload; it ended without a checkpoint"
    )


def training_task(workload: dict[str, str] | None, state: str | None) -> Callable[[Step], Any]:
    """Answer a round as Airflow and a control plane do; the workload has ended."""

    def do(step: Step) -> Any:
        if isinstance(step, FetchXCom):
            return workload
        if isinstance(step, FetchTaskState):
            return state
        if isinstance(step, CallApi):
            return ended(step.flow(BACKEND))
        return step.call(lambda _: None)

    return do


def test_between_two_tries_quarantine_acts(tmp_path: Path) -> None:
    publish(tmp_path, 10)
    os.truncate(publish(tmp_path, 20) / "model.safetensors", 100)
    wait = CheckpointWait(
        CheckpointQuery(str(tmp_path), min_step=11), WORKLOAD, quarantine_invalid=True
    )
    assert (
        drive(wait.poll(), training_task({"id": "7", "name": "train-g1"}, "up_for_retry")) is None
    )
    assert (tmp_path / "quarantine" / "step-00000020" / "report.json").exists()


def test_a_storage_that_does_not_answer_does_not_end_the_wait_with_the_training(
    tmp_path: Path,
) -> None:
    publish(tmp_path, 10)
    report = tmp_path / "report.json"
    report.mkdir()
    wait = CheckpointWait(CheckpointQuery(str(tmp_path), report_path=str(report)), WORKLOAD)
    task = training_task({"id": "7", "name": "train-g1"}, "failed")
    assert drive(wait.poll(), task) is None
    report.rmdir()
    event = drive(wait.poll(), task)
    assert event is not None
    assert event["status"] == "found"


def test_why_the_wait_goes_on_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="airflow_runai")
    wait = CheckpointWait(CheckpointQuery(str(tmp_path), min_step=20))
    for step in (10, 11, 12):
        publish(tmp_path, step)
        assert drive(wait.poll(), reading([])) is None
    assert [record.message for record in caplog.records if "waiting on" in record.message] == [
        f"waiting on: {tmp_path}: none of 0 checkpoints passed: there was no candidate"
    ]


# -- the trigger
# -------------------------------------------------------------------------------------------------------
def trigger(root: Path, **given: Any) -> RunaiCheckpointTrigger:
    known: dict[str, Any] = {
        "poll_interval": 0.05,
        "min_defer_seconds": 0.0,
        "search": CheckpointQuery(str(root)).to_json(),
    }
    return RunaiCheckpointTrigger(**{**known, **given})


async def first(made: RunaiCheckpointTrigger) -> dict[str, Any]:
    async for event in made.run():
        return dict(event.payload)
    raise AssertionError("ended without an event")


def test_its_arguments_are_plain_json_and_make_it_again(tmp_path: Path) -> None:
    made = trigger(tmp_path, deadline=5.0, workload=WORKLOAD, quarantine_invalid=True)
    path, arguments = made.serialize()
    again = RunaiCheckpointTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert path == "airflow_runai.triggers.checkpoint.RunaiCheckpointTrigger"


def test_it_fires_once_and_in_time(tmp_path: Path) -> None:
    publish(tmp_path, 10)
    assert asyncio.run(first(trigger(tmp_path)))["result"]["step"] == 10
    late = trigger(
        tmp_path, search=CheckpointQuery(str(tmp_path), min_step=11).to_json(), deadline=0.0
    )
    assert asyncio.run(first(late))["status"] == "timed_out"
    (tmp_path / "file").touch()
    assert asyncio.run(first(trigger(tmp_path / "file")))["status"] == "wrong"


def _ignoring(call: Callable[[int], int], number: int, _progress: object) -> int:
    return call(number)


def test_the_loop_goes_on_while_storage_is_read_and_readers_are_few() -> None:
    async def check() -> None:
        release, began = threading.Event(), list[int]()

        def block(number: int) -> int:
            began.append(number)
            assert release.wait(PATIENCE)
            return number

        waiting = [
            asyncio.create_task(in_thread(partial(_ignoring, block, n))) for n in range(READERS + 2)
        ]
        await eventually(lambda: len(began) == READERS)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert len(began) == READERS
        assert await in_thread(lambda _: 7, "another storage") == 7
        release.set()
        assert await asyncio.gather(*waiting) == list(range(READERS + 2))

    asyncio.run(check())


def test_what_is_cancelled_stops_reading_and_frees_its_reader() -> None:
    async def check() -> None:
        ends, began = list[str](), threading.Event()

        def endless(progress: Callable[[int], None]) -> None:
            began.set()
            try:
                for read in range(10**12):
                    progress(read)
            except BaseException as error:
                ends.append(type(error).__name__)
                raise

        for _ in range(READERS + 1):
            began.clear()
            reading = asyncio.create_task(in_thread(endless))
            await eventually(began.is_set)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert await in_thread(lambda _: 7) == 7
        await eventually(lambda: len(ends) == READERS + 1)
        assert set(ends) == {"_Abandoned"}

    asyncio.run(check())


# -- quarantine
# ----------------------------------------------------------------------------------------------------------
ENVIRONMENT = {
    "CHECKPOINTS": "/shared/ckpt",
    "EPOCHS": "200",  # two minutes: it must not end before anybody has suspended it
    "SECONDS_PER_EPOCH": "0.6",
    "CHECKPOINT_EVERY": "20",
}


def start_digits(person: Person, emulator: Emulator) -> str:
    variables = [{"name": name, "value": value} for name, value in ENVIRONMENT.items()]
    storage = {"pvc": [{"claimName": "shared", "path": "/shared", "existingPvc": True}]}
    more: dict[str, Any] = {
        "command": "python",
        "args": "/shared/code/train.py",
        "environmentVariables": variables,
        "storage": storage,
    }
    return person.submit("team-a", "digits", **more).name


def poison(root: Path) -> Path:
    """Make the newest checkpoint one whose bytes are as its manifest says, and whose weights are not numbers."""
    newest = max(root.glob("step-*"))
    held = preemptible.verify(newest)
    with preemptible.save_checkpoint(root, held.step + 1, epoch=held.epoch) as folder:
        tensors = load_file(newest / "model.safetensors")
        save_file(
            {name: np.full_like(found, np.nan) for name, found in tensors.items()},
            folder / "model.safetensors",
        )
        (folder / "position.json").write_bytes((newest / "position.json").read_bytes())
    return root / f"step-{held.step + 1:08d}"


@pytest.mark.slow
@both
def test_while_the_workload_is_suspended_a_bad_newest_is_put_aside(
    run: Runner, emulator: Emulator, root: Path, deferrable: bool
) -> None:
    person = Person(emulator)
    person.submit("team-a", "long-train")
    person.wait_for("long-train", "Running")
    person.steer(control_plane.suspend, "long-train")
    person.wait_for("long-train", "Stopped")
    publish(root, 10)
    os.truncate(publish(root, 20) / "model.safetensors", 100)
    run(
        dag_of(
            sensor(
                min_step=20,
                workload="long-train",
                on_invalid="quarantine",
                timeout=0.5,
                deferrable=deferrable,
            )
        )
    )
    assert (root / "quarantine" / "step-00000020" / "report.json").exists()
    assert (root / "step-00000010").exists()


@pytest.mark.slow
def test_a_training_resumes_from_the_good_one_under_a_poisoned_newest(
    run: Runner, emulator: Emulator, root: Path
) -> None:
    person = Person(emulator)
    name = start_digits(person, emulator)
    wait_until(lambda: len(list(root.glob("step-*"))) >= 2)
    person.steer(control_plane.suspend, "digits")
    person.wait_for("digits", "Stopped")
    good = max(int(path.name[5:]) for path in root.glob("step-*"))
    aside = root / "quarantine" / poison(root).name

    def resume() -> None:
        wait_until(lambda: (aside / "report.json").exists())
        assert json.loads((aside / "report.json").read_text())["verdict"] == "poisoned"
        person.steer(control_plane.resume, "digits")

    with meanwhile(resume):
        done = run(dag_of(sensor(min_step=good + 20, workload=name, on_invalid="quarantine")))
    assert done.state == "success", done.words
    assert done.xcom()["step"] >= good + 20
    assert f"resumed from step {good} " in emulator.log(name)


@pytest.mark.slow
def test_while_the_training_runs_nothing_is_put_aside(
    run: Runner, emulator: Emulator, root: Path
) -> None:
    person = Person(emulator)
    person.submit("team-a", "long-train")
    person.wait_for("long-train", "Running")
    publish(root, 10)
    os.truncate(publish(root, 20) / "model.safetensors", 100)
    done = run(
        dag_of(sensor(min_step=20, workload="long-train", on_invalid="quarantine", timeout=0.5))
    )
    assert done.task().state == "failed"
    assert (root / "step-00000020").exists()
    assert not (root / "quarantine").exists()


def test_what_arrives_while_quarantine_reads_is_looked_at_next(tmp_path: Path) -> None:
    publish(tmp_path, 10)
    wait = CheckpointWait(
        CheckpointQuery(str(tmp_path), min_step=99), WORKLOAD, quarantine_invalid=True
    )
    standing, reads = WorkloadStatus(idle=True), list[int]()

    def do(step: Step) -> Any:
        if isinstance(step, FetchXCom):
            return {"id": "7", "name": "train-g1"}
        if isinstance(step, CallApi):
            return standing
        assert isinstance(step, ReadStorage)
        found = step.call(lambda _: None)
        reads.append(1)
        if len(reads) == 4:  # quarantine has read everything, and has not acted yet
            os.truncate(publish(tmp_path, 20) / "model.safetensors", 100)
        return found

    assert drive(wait.poll(), do) is None
    assert not wait.quarantined
    assert drive(wait.poll(), do) is None
    assert list(wait.quarantined) == [str(tmp_path / "step-00000020")]

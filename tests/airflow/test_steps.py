"""A training's steps beside its wait: read in few threads, told rarely, and a clock that ends a wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.core.decision import Snapshot
from airflow_runai.core.flow import Notice
from airflow_runai.core.progress import StepProgress
from airflow_runai.core.saves import Saved
from airflow_runai.core.timeline import UNSEEN
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator
from airflow_runai.errors import InvalidArgument
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks import step_readers, steps
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.step_readers import Answer, OutOfSight, StepReaders
from airflow_runai.tasks.steps import Steps, still_idle
from tests.airflow.running import Run, dag_of
from tests.core.stage import NOON, acts
from tests.support.patience import PATIENCE
from tests.support.waiting import wait_until

Runner = Callable[..., Run]


def made(root: Path, step: int) -> None:
    (root / f"step-{step:08}").mkdir(parents=True)


def root_of(path: Path | str, **more: Any) -> CheckpointRoot:
    return CheckpointRoot(str(path), **more)


async def ask(readers: StepReaders, root: CheckpointRoot) -> Answer:
    found: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    readers.ask(root, found.set_result)
    return await found


def test_the_steps_are_those_of_a_listing(tmp_path: Path) -> None:
    assert root_of(tmp_path).saves() == ()
    assert root_of(tmp_path / "later").saves() is None, "its first checkpoint makes it"
    made(tmp_path, 5)
    made(tmp_path, 40)
    (tmp_path / ".tmp-step-00000099").mkdir()
    found = root_of("/data/ckpt", path_map={"/data/ckpt": str(tmp_path)}).saves()
    assert found is not None
    assert [one.step for one in found] == [40, 5]
    assert all(one.at > 0 for one in found)
    for path in (tmp_path / "not" / "mounted", "/a-container-path-that-nobody-mounted"):
        with pytest.raises(Exception, match="does not exist"):
            root_of(path).saves()


def test_at_most_four_threads_read_at_a_time() -> None:
    gate, entered = threading.Event(), threading.Semaphore(0)
    reading: list[int] = []
    lock = threading.Lock()
    now = [0]

    def read(root: CheckpointRoot) -> tuple[Saved, ...]:
        with lock:
            now[0] += 1
            reading.append(now[0])
        entered.release()
        assert gate.wait(PATIENCE)
        with lock:
            now[0] -= 1
        return (Saved(len(root.path), 0.0),)

    async def main() -> list[Answer]:
        readers = StepReaders(read)
        asked = [asyncio.ensure_future(ask(readers, root_of("x" * n))) for n in range(1, 10)]
        await asyncio.to_thread(lambda: [entered.acquire() for _ in range(4)])
        gate.set()
        return list(await asyncio.gather(*asked))

    assert asyncio.run(main()) == [(Saved(n, 0.0),) for n in range(1, 10)]
    assert max(reading) <= step_readers.READERS


def test_a_root_that_hangs_is_given_up_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_readers, "GIVEN_UP", 0.05)
    gate = threading.Event()
    asked: list[str] = []

    def read(root: CheckpointRoot) -> tuple[Saved, ...]:
        asked.append(root.path)
        if root.path == "hangs":
            assert gate.wait(PATIENCE)
        return ()

    async def main() -> None:
        readers = StepReaders(read)
        first = await ask(readers, root_of("hangs"))
        second = await ask(readers, root_of("hangs"))
        assert isinstance(first, OutOfSight)
        assert "did not answer within" in str(first)
        assert isinstance(second, OutOfSight)
        assert "left alone" in str(second)
        monkeypatch.setattr(step_readers, "GIVEN_UP", PATIENCE)
        assert await ask(readers, root_of("well")) == ()
        gate.set()
        assert asked == ["hangs", "well"]

    asyncio.run(main())


def test_a_root_that_hangs_holds_one_thread_and_no_other_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step_readers, "GIVEN_UP", 0.01)
    monkeypatch.setattr(step_readers, "LEFT_ALONE", 0.0)
    gate = threading.Event()
    begun: list[str] = []

    def read(root: CheckpointRoot) -> tuple[Saved, ...]:
        begun.append(root.path)
        if root.path_map == {"/data": "/bad"}:
            assert gate.wait(PATIENCE)
        return ()

    async def main() -> None:
        readers = StepReaders(read)
        bad = root_of("/data/x", path_map={"/data": "/bad"})
        for _ in range(10):
            assert isinstance(await ask(readers, bad), OutOfSight)
        await until(lambda: bool(begun))
        assert begun == ["/data/x"]
        monkeypatch.setattr(step_readers, "GIVEN_UP", PATIENCE)
        good = root_of("/data/x", path_map={"/data": "/good"})
        assert await ask(readers, good) == ()
        gate.set()
        await until(lambda: readers._threads == 0)
        assert await ask(readers, bad) == (), "its thread has come back"

    asyncio.run(main())


def test_who_gets_no_turn_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_readers, "PATIENCE", 0.05)
    gate = threading.Event()

    def read(root: CheckpointRoot) -> tuple[Saved, ...]:
        assert gate.wait(PATIENCE)
        return ()

    async def main() -> None:
        readers = StepReaders(read)
        first = [asyncio.ensure_future(ask(readers, root_of(str(n)))) for n in range(4)]
        await asyncio.sleep(0)
        answer = await ask(readers, root_of("another"))
        assert isinstance(answer, OutOfSight)
        assert "nobody could look" in str(answer)
        assert not readers._waiting
        gate.set()
        assert await asyncio.gather(*first) == [()] * 4

    asyncio.run(main())


def running(at: float = 1000.0) -> Snapshot:
    timeline = acts((0, "Creating"), (10, "Running"))
    return Snapshot(Workload("w-1", "train-g1", "Running"), timeline, NOON + at)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LOOK_SECONDS", 0.01)


async def until(condition: Callable[[], bool]) -> None:
    """In a thread, as a worker's wait asks: the loop goes on."""
    await asyncio.to_thread(wait_until, condition, "the next look")


@pytest.mark.usefixtures("quick")
def test_it_follows_the_steps_while_it_runs_and_tells_them_rarely(tmp_path: Path) -> None:
    told: list[Notice] = []

    async def main() -> None:
        one = Steps(root_of(tmp_path, expected_steps=100), told.append)
        assert one(running()) is None
        made(tmp_path, 10)
        await until(lambda: one(running()) is not None)
        made(tmp_path, 20)
        await until(lambda: _step(one(running())) == 20)
        found = one(running())
        assert found is not None
        assert found.at is not None
        assert found.target == 100
        one(replace(running(), workload=Workload("w-1", "train-g1", "Pending")))
        one.close()

    asyncio.run(main())
    assert [notice.kind for notice in told] == ["progress"]
    assert told[0].text.startswith("train-g1: step 10 of 100")
    assert told[0].data["progress"]["step"] == 10
    assert told[0].data["phase"] == "Running"


@pytest.mark.usefixtures("quick")
def test_a_worker_looks_though_its_notice_was_heard_before_its_reading(tmp_path: Path) -> None:
    made(tmp_path, 10)

    async def main() -> None:
        one = Steps(root_of(tmp_path), lambda _: None)
        one.hear(Notice("timeline", ""))
        await until(lambda: _step(one(running())) == 10)
        one.close()

    asyncio.run(main())


def _step(progress: StepProgress | None) -> int | None:
    return progress.step if progress else None


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_seen_is_said_once_and_no_clock_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "mount" / "ckpt"
    made(place, 10)

    async def main() -> None:
        one = Steps(root_of(place), lambda _: None)
        one(running())
        await until(lambda: one(running()) is not None)
        made(place, 20)
        await until(lambda: _at(one(running())) is not None)
        (tmp_path / "mount").rename(tmp_path / "away")
        await until(lambda: _at(one(running())) is None)
        (tmp_path / "away").rename(tmp_path / "mount")
        made(place, 30)
        await until(lambda: _at(one(running())) is not None)
        (tmp_path / "mount").rename(tmp_path / "away")
        await until(lambda: _at(one(running())) is None)
        one.close()

    asyncio.run(main())
    assert caplog.text.count("cannot be seen from here") == 1


def test_what_a_run_saved_last_is_looked_for_before_the_next_may_remove_it(tmp_path: Path) -> None:
    """The next regular look would come within a minute."""
    away = replace(running(), workload=Workload("w-1", "train-g1", "Pending"))
    leaving = replace(running(), workload=Workload("w-1", "train-g1", "Terminating"))

    async def main() -> StepProgress | None:
        one = Steps(root_of(tmp_path), lambda _: None)
        one(away)
        one(running())
        made(tmp_path, 10)
        one(leaving)
        made(tmp_path, 11)
        one(away)
        await until(lambda: one._track is not None)
        made(tmp_path, 12)  # nobody looks again while it is away
        one(away)
        one.hear(Notice("timeline", ""))
        assert one._timer is None
        found = one(running())
        one.close()
        return found

    found = asyncio.run(main())
    assert found is not None
    assert [saved.step for saved in found.checkpoints] == [10, 11]
    assert found.is_whole


def test_of_a_wait_that_begins_late_something_may_have_been_missed(tmp_path: Path) -> None:
    made(tmp_path, 10)
    moments = acts((0, "Running"), (10, "Pending"), (20, "Running"))
    late = replace(running(), timeline=moments)

    async def main() -> StepProgress | None:
        one = Steps(root_of(tmp_path), lambda _: None)
        one(late)
        one(replace(late, workload=Workload("w-1", "train-g1", "Pending")))
        await until(lambda: one._track is not None)
        found = one(late)
        one.close()
        return found

    found = asyncio.run(main())
    assert found is not None
    assert not found.is_whole


@pytest.mark.parametrize(
    "change", [{"past_unread": True}, {"timeline": acts((0, UNSEEN), (5, "Running"))}]
)
def test_of_a_wait_that_goes_on_after_a_restart_too(tmp_path: Path, change: dict[str, Any]) -> None:
    one = Steps(root_of(tmp_path), lambda _: None)
    one(replace(running(), **change))
    assert not one._is_whole
    fresh = Steps(root_of(tmp_path), lambda _: None)
    fresh(running())
    assert fresh._is_whole


def _at(progress: StepProgress | None) -> float | None:
    return progress.at if progress else None


def test_the_worker_looks_again_before_it_calls_a_training_idle(tmp_path: Path) -> None:
    made(tmp_path, 20)
    was = StepProgress(20, NOON)
    assert still_idle(was, root_of(tmp_path)) == was
    assert still_idle(was, root_of(tmp_path / "not" / "mounted")) is None
    assert still_idle(was, None) is None
    made(tmp_path, 30)
    assert still_idle(was, root_of(tmp_path)) is None


SPEC: dict[str, Any] = {
    "image": "python:3.12",
    "compute": {"gpu_devices": 1},
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "environment": {"CHECKPOINTS": "/shared/ckpt", "CHECKPOINT_STEPS": 5},
}
#: Saves three steps, and hangs.
HANGS = """#!/bin/sh
mkdir -p $1/ckpt
mkdir $1/ckpt/step-1 $1/ckpt/step-2 $1/ckpt/step-3
while true; do sleep 0.05; done
"""


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])
def test_a_training_that_hangs_is_stalled(
    run: Runner, emulator: Emulator, shared: Path, deferrable: bool
) -> None:
    (shared / "startup.sh").write_text(HANGS)
    made_by: dict[str, Any] = {
        "task_id": "task",
        "workload_name": "hangs",
        "spec": {**SPEC, "command": "sh /shared/startup.sh /shared"},
        "path_map": {"/shared": str(shared)},
        "timeouts": {"progress": 2},
        "expected_steps": 10,
        "deferrable": deferrable,
    }
    done = run(dag_of(lambda: RunaiTrainingOperator(**made_by)))
    assert done.state == "failed"
    assert "stalled: no checkpoint after step 3 for" in done.words
    assert done.xcom("runai_timeline")["progress"]["step"] == 3
    assert emulator.workloads_named("hangs")[0].deleted_at is not None


def root_for(environment: dict[str, Any], **given: Any) -> CheckpointRoot | None:
    task = RunaiTrainingOperator(task_id="task", spec={**SPEC, "environment": environment}, **given)
    return CheckpointRoot.of(task, task.spec)


def test_the_root_is_the_one_place_that_the_environment_names() -> None:
    found = root_for(SPEC["environment"])
    assert found is not None
    assert found.path == "/shared/ckpt"
    assert root_for({"CHECKPOINTS": "ckpt"}) is None, "relative to what?"
    assert root_for({"CHECKPOINTS": "/a", "CKPT_DIR": "/b"}) is None
    assert root_for({"PRETRAINED_CHECKPOINT": "/a"}) is None
    explicit = root_for({"CHECKPOINTS": "/a"}, checkpoint_root="s3://bucket/x")
    assert explicit is not None
    assert explicit.path == "s3://bucket/x"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"expected_steps": 0}, "expected_steps: 0; allowed: a whole number greater than 0"),
        ({"expected_steps": "many"}, "expected_steps: 'many'"),
        ({"expected_steps": True}, "expected_steps: True"),
        ({"expected_steps": 5}, "expected_steps: set, but where the checkpoints are is not known"),
        ({"timeouts": {"progress": 5}}, "timeouts.progress: set, but where the checkpoints"),
    ],
)
def test_a_slip_names_what_is_wrong(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        root_for({}, **given)
    assert words in str(caught.value)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "many"])
def test_a_number_of_steps_that_is_none_is_refused_at_parse(steps: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"expected_steps: .*; allowed: a whole number"):
        RunaiTrainingOperator(task_id="task", spec=SPEC, expected_steps=steps)


@pytest.mark.parametrize("steps", [None, 20_000, 2e4, "20000", "", "None", "{{ params.steps }}"])
def test_a_number_of_steps_may_be_rendered_in_any_way(steps: Any) -> None:
    RunaiTrainingOperator(task_id="task", spec=SPEC, expected_steps=steps)

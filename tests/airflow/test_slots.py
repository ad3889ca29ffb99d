"""
The workloads of a sweep that live at the same time, counted at the embedded Run:ai.

Eight trials, a training and an evaluation each, without the limits that Airflow's scheduler has: so
the count before each create is all that keeps them apart. Tasks run in threads as in workers, what
they defer to on one event loop; XComs are in a mapping that all of them see.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.emulator import Emulator, Scenario, serve
from airflow_runai.emulator.phases import ENDED
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.errors import Unreachable
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.slot_claim import KEY
from tests.airflow.conftest import fast
from tests.airflow.running import meanwhile
from tests.airflow.worker import Store, Ti, Worker
from tests.support.waiting import wait_until

TRIALS, LIMIT = 8, 3
#: Each step of each trial, and a cleared training again.
WORKLOADS = 2 * TRIALS + 1
STEPS = ("train", "evaluate")
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])
SPEC = {"image": "python:3.12", "compute": {"gpu_devices": 1}}


@pytest.fixture
def wide(
    shared: Any, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    """A cluster that has GPUs for all trials at once; workloads end soon after a preemption."""
    monkeypatch.setenv("AIRFLOW__RUNAI__INSTANCE_NAME", "tests")
    held = Scenario(run_seconds=None, exits={2: (0.0, 0)})
    large = {"nodes": 4, "gpus_per_node": 8, "projects": ("team-a:32",)}
    with serve(fast(shared, scenarios={"held": held}, **large)) as running:
        connect(running.url)
        yield running


class Killed(BaseException):
    """The worker is dead; nothing of it runs any more."""


@dataclass
class Board:
    """Airflow's XComs of one run."""

    written: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def push(self, task: tuple[str, int], key: str, value: object) -> None:
        with self.lock:
            self.written.setdefault(task, {})[key] = json.dumps(value)

    def read(self, task: tuple[str, int], key: str) -> list[Any]:
        with self.lock:
            found = self.written.get(task, {}).get(key)
        return [] if found is None else [json.loads(found)]

    def of_all(self, task_id: str, key: str) -> list[Any]:
        found = [self.read((task_id, index), key) for index in range(TRIALS)]
        return [value for values in found for value in values]


@dataclass(eq=False)
class TrialTi(Ti):
    """A mapped task instance; what a dead worker would send does not arrive."""

    board: Board = field(default_factory=Board)
    is_dead: Callable[[], bool] = lambda: False

    def xcom_push(self, key: str, value: object) -> None:
        if self.is_dead():
            raise Killed
        self.board.push((self.task_id, self.map_index), key, value)

    def xcom_pull(self, task_ids: Any, key: str, map_indexes: int | None = None) -> Any:
        if map_indexes is not None:
            return (self.board.read((task_ids, map_indexes), key) or [None])[0]
        return [value for task_id in task_ids for value in self.board.of_all(task_id, key)]


@dataclass(eq=False)
class MortalStore(Store):
    """The task state store; the worker dies as it writes for the n-th time."""

    deadly: int = 0
    writes: int = 0
    is_dead: bool = False

    def set(self, key: str, value: object, retention: object = None) -> None:
        self.writes += 1
        if self.writes == self.deadly:
            self.is_dead = True
            raise Killed
        super().set(key, value, retention)


@dataclass(eq=False)
class TrialWorker(Worker):
    """One step of one trial, through as many tries as it takes."""

    map_index: int = 0
    board: Board = field(default_factory=Board)
    store: MortalStore = field(default_factory=MortalStore)
    tries: int = 1
    clears: int = 0

    def ti(self) -> Ti:
        return TrialTi(
            "run-1",
            task_id=self.operator.task_id,
            map_index=self.map_index,
            try_number=self.tries,
            max_tries=self.clears,
            board=self.board,
            is_dead=lambda: self.store.is_dead,
        )

    async def settle(self) -> None:
        """Run to the end, with another try after each death."""
        while not self.is_done:
            try:
                await self.live()
            except Killed:
                self.store.is_dead = False
                self._try_again()

    async def clear(self) -> None:
        """Do it again, as a user wants who clears the task."""
        self.clears += 1
        self._try_again()
        self.is_done = False
        await self.settle()

    def _try_again(self) -> None:
        self.tries += 1
        self.board.written.pop((self.operator.task_id, self.map_index), None)


def step(board: Board, index: int, task_id: str, deadly: int = 0, **given: Any) -> TrialWorker:
    operator = RunaiTrainingOperator(
        **{
            "task_id": task_id,
            "spec": SPEC,
            "workload_name": "held",
            "poll_interval": 0.2,
            "max_live": LIMIT,
            "max_live_with": STEPS,
            "get_logs": "off",
            **given,
        }
    )
    return TrialWorker(
        "run-1", operator, map_index=index, board=board, store=MortalStore(deadly=deadly)
    )


async def trial(board: Board, index: int, given: Any) -> None:
    # Of the trainings, one dies before its create and one after it, before it has noted that.
    deadly = {2: 1, 5: 2}.get(index, 0)
    train = step(board, index, "train", deadly, **given)
    await train.settle()
    await step(board, index, "evaluate", **given).settle()
    if index == 0:  # while others are in the middle of theirs
        await train.clear()


def end_one_by_one(emulator: Emulator) -> None:
    """End a workload whenever there are as many as there may be, and somebody has looked since."""
    for ended in range(WORKLOADS):
        # At last, those that are left wait for each other: evaluations for their trainings.
        is_last = WORKLOADS - ended <= 2 * LIMIT + 1
        wait_until(partial(has_live, emulator, 1 if is_last else LIMIT))
        if not is_last:
            wait_until(partial(has_looked, emulator, looks(emulator) + 2))
        oldest = live(emulator)[0]
        wait_until(partial(emulator.preempt, oldest.name))
        wait_until(partial(has_ended, oldest))


def has_live(emulator: Emulator, count: int) -> bool:
    return len(live(emulator)) >= count


def has_looked(emulator: Emulator, count: int) -> bool:
    return looks(emulator) >= count


def has_ended(workload: EmulatedWorkload) -> bool:
    return workload.phase in ENDED


def live(emulator: Emulator) -> list[EmulatedWorkload]:
    return [one for one in emulator.workloads_named("held") if not has_ended(one)]


def looks(emulator: Emulator) -> int:
    return sum("FREE_GPUS" in seen.query for seen in emulator.requests)


def stretch(workload: EmulatedWorkload) -> tuple[float, float]:
    ends = [record.at for record in workload.history if record.phase in ENDED]
    ends += [workload.deleted_at] if workload.deleted_at else []
    return workload.created_at, min(ends)


def most_at_once(workloads: list[EmulatedWorkload]) -> int:
    """How many workloads lived at the same time, from what the platform has recorded."""
    stretches = [stretch(one) for one in workloads]
    return max(sum(a <= begin < b for a, b in stretches) for begin, _ in stretches)


@pytest.mark.slow
@both
def test_no_more_live_than_the_sweep_may_have_through_crashes_and_a_clear(
    wide: Emulator, deferrable: bool
) -> None:
    board = Board()

    async def play() -> None:
        given = {"deferrable": deferrable}
        await asyncio.gather(*(trial(board, index, given) for index in range(TRIALS)))

    with meanwhile(lambda: end_one_by_one(wide)):
        asyncio.run(play())
    made = wide.workloads_named("held")
    assert len(made) == WORKLOADS
    assert most_at_once(made) == LIMIT


@pytest.mark.slow
@both
def test_what_an_ended_task_has_left_behind_holds_a_slot(wide: Emulator, deferrable: bool) -> None:
    """The workload lives on, though no task waits for it."""
    board = Board()
    left: dict[str, Any] = {"wait_for_completion": False, "max_live": 1}
    asyncio.run(step(board, 0, "train", deferrable=deferrable, **left).settle())
    given: dict[str, Any] = {**left, "deferrable": deferrable, "timeouts": {"room": 0.5}}
    late = step(board, 1, "evaluate", **given)
    with pytest.raises(Exception, match=r"no room for a workload \(now\) .*nothing was submitted"):
        asyncio.run(late.live())
    (only,) = wide.workloads_named("")
    assert only.name.startswith("held-")
    (claim,) = board.read(("evaluate", 1), KEY) or [{"until": 0.0}]
    assert claim["until"] == 0.0, "it is not in the way of others"


@pytest.mark.slow
@both
def test_claim_of_a_dead_worker_prolongs_no_wait(wide: Emulator, deferrable: bool) -> None:
    """The claim counts for a long time, but no look at the platform shows anything in the way."""
    board = Board()
    dead = generation_name(base_name(TaskIdentity("tests", "dag", "run-1", "train", 0)), 1)
    board.push(("train", 0), KEY, {"name": dead, "until": time.time() + 3600})
    given: dict[str, Any] = {"max_live": 1, "deferrable": deferrable, "timeouts": {"room": 0.5}}
    late = step(board, 0, "evaluate", **given)
    with pytest.raises(Exception, match=r"no room for a workload \(now\) .*nothing was submitted"):
        asyncio.run(late.live())
    assert wide.workloads_named("") == []


def test_what_exists_is_adopted_though_all_slots_are_taken(wide: Emulator) -> None:
    board = Board()
    given: dict[str, Any] = {"wait_for_completion": False, "max_live": 1}
    first = step(board, 0, "train", **given)
    asyncio.run(first.settle())
    again = step(board, 0, "train", **given)
    again.store, again.tries = first.store, 2
    asyncio.run(again.settle())
    assert len(wide.workloads_named("")) == 1


@pytest.mark.slow
def test_claim_that_cannot_be_read_back_submits_nothing(wide: Emulator) -> None:
    """Else others could not see it either, and would take the same slot."""
    board = Board()
    worker = step(board, 0, "train", deferrable=False)
    board.of_all = lambda task_id, key: []  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="cannot be read back"):
        asyncio.run(worker.live())
    assert wide.workloads_named("") == []


def test_slots_are_those_of_one_run_and_of_the_named_tasks(wide: Emulator) -> None:
    given: dict[str, Any] = {"wait_for_completion": False, "max_live": 1}
    alone: dict[str, Any] = {**given, "max_live_with": (), "deferrable": False}
    asyncio.run(step(Board(), 0, "train", **alone).settle())
    other = step(Board(), 0, "evaluate", **alone)
    asyncio.run(other.settle())
    assert len(wide.workloads_named("")) == 2

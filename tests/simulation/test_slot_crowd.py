"""
A sweep whose tasks all begin in the same second, in virtual time: deferred at one triggerer, at two, and in workers.

Nothing but the slots keeps them apart. Airflow answers after a while, and the control plane's
lists show a workload only some seconds after its create.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from airflow_runai.operators.training import RunaiTrainingOperator
from tests.simulation import wire
from tests.simulation.clock import VirtualLoop, virtual_time
from tests.simulation.comms import DagRun
from tests.simulation.process import Process, blocking, in_greenlet
from tests.simulation.test_room_crowd import (
    HOUR,
    SEEDS,
    SPEC,
    Crowd,
    RoomyPlane,
    first_event,
    loop,
)
from tests.simulation.test_submission_crowd import SILENCE, Store, Ti

__all__ = ["loop"]

TRIALS, SLOTS = 12, 3
STEPS = ("train", "evaluate")
#: Seconds for which Airflow lets a task wait for an answer.
SLOW = 0.5


@dataclass(eq=False)
class BoardTi(Ti):
    """A mapped task instance whose XComs the others see."""

    board: dict[str, dict[int, Any]] = field(default_factory=dict)

    def xcom_push(self, key: str, value: object) -> None:
        _airflow_takes_a_while()
        if key == "runai_slot":
            self.board[self.task_id][self.map_index] = value
        _airflow_takes_a_while()

    def xcom_pull(self, task_ids: list[str], key: str) -> list[Any]:
        found: list[Any] = []
        for task_id in task_ids:
            _airflow_takes_a_while()
            found += self.board[task_id].values()
        return found


def _airflow_takes_a_while() -> None:
    blocking(asyncio.sleep(random.uniform(0.0, SLOW)))


@dataclass(eq=False)
class Sweep(Crowd):
    """The trials of one run; each is evaluated after its training."""

    board: dict[str, dict[int, Any]] = field(default_factory=lambda: defaultdict(dict))

    async def play(self) -> None:
        await asyncio.gather(*(self._trial(number) for number in range(TRIALS)))

    async def _trial(self, number: int) -> None:
        await self._step(number, "train")
        await asyncio.sleep(self.plane.seconds)
        await self._step(number, "evaluate")

    async def _step(self, number: int, task_id: str) -> None:
        with DAG(f"dag-{task_id}-{number}", schedule=None):
            operator = RunaiTrainingOperator(
                task_id=task_id,
                spec=SPEC,
                max_live=SLOTS,
                max_live_with=STEPS,
                deferrable=self.triggerers > 0,
                wait_for_completion=False,
                lint_ignore=SILENCE,
            )
        ti = BoardTi(number, task_id=task_id, board=self.board)
        given = {"ti": ti, "task": operator, "task_state_store": Store()}
        context: Any = {**given, "dag_run": DagRun.of("run-1", 1)}
        step = partial(operator.execute, context)
        while True:
            try:
                process = Process(f"worker-{task_id}-{number}", number + 1, self.loop)
                await self._start(process, in_greenlet(step), operator)
                return
            except TaskDeferred as deferred:
                where = self._triggerers[number % self.triggerers]
                event = await self._start(where, first_event(deferred.trigger), operator)
                await asyncio.sleep(random.uniform(1, 20))
                step = partial(operator.execute_in_turn, context, event)


def played(loop: VirtualLoop, triggerers: int, seed: int, **plane: Any) -> Sweep:
    random.seed(seed)
    sweep = Sweep(loop, RoomyPlane(loop, **plane), triggerers, "now", HOUR)
    with virtual_time(), wire.installed(lambda process: sweep.plane):
        loop.run_until_complete(sweep.play())
    return sweep


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("triggerers", [1, 2, 0])
def test_no_more_live_than_there_are_slots_and_all_come_to_their_turn(
    loop: VirtualLoop, triggerers: int, seed: int
) -> None:
    plane = played(loop, triggerers, seed, seconds=120.0, lag=8.0).plane
    assert len(plane.created) == TRIALS * len(STEPS)
    assert plane.most == SLOTS


@pytest.mark.slow
def test_what_ends_between_two_looks_holds_no_slot(loop: VirtualLoop) -> None:
    """Without that, each of them would count for ten minutes after its end."""
    plane = played(loop, 1, 0, seconds=5.0).plane
    assert len(plane.created) == TRIALS * len(STEPS)
    assert max(plane.created.values()) - min(plane.created.values()) < HOUR / 4

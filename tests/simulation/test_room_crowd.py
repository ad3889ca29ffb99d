"""
Fifty tasks that want three GPUs, in virtual time: deferred at one triggerer, at two, and in workers.

The real operator and the real trigger; the control plane is a fake at the wire that starts a
workload a while after it was created. Airflow takes up to twenty seconds to start a worker.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import pytest
from airflow.sdk import DAG
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.execution_time.context import _preset_connections

from airflow_runai.core.waiting_line import AT_ONCE
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.simulation import wire
from tests.simulation.clock import BEGIN, VirtualLoop, virtual_time
from tests.simulation.comms import DagRun
from tests.simulation.process import Process, adopt_tasks, in_greenlet
from tests.simulation.test_submission_crowd import SILENCE, LimitedPlane, Store, Ti

SPEC = {"image": "registry.example/train:7", "compute": {"gpu_devices": 1}}
TASKS, GPUS, HOUR = 50, 3, 3600.0
#: One history in `make test`, ten in `make qualify`.
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.qualify) for seed in range(1, 10))]


@dataclass(eq=False)
class RoomyPlane(LimitedPlane):
    """
    A control plane with three GPUs, all of them the quota of one project.

    :param placing: seconds from a create until the workload holds its GPU.
    :param seconds: for which each workload runs; infinite for no end.
    :param lag: seconds from a create until a list shows the workload.
    """

    placing: float = 4.0
    seconds: float = float("inf")
    lag: float = 0.0
    created: dict[str, float] = field(default_factory=dict)
    most: int = 0

    def _answer(self, who: str, request: httpx.Request) -> tuple[int, Any]:
        path, params = request.url.path, request.url.params
        if path.endswith("/projects/7"):
            pool = {"nodePool": {"name": "default"}, "gpu": {"deserved": GPUS, "limit": -1}}
            return 200, {"resources": [pool]}
        if path.endswith("/telemetry"):
            total = params["telemetryType"] == "TOTAL_GPUS"
            return 200, {"values": [{"value": str(GPUS if total else GPUS - self._held())}]}
        if "phase!=Completed" in params.get("filterBy", ""):
            return 200, {"workloads": self._rows()}
        if "completedAt>=" in params.get("filterBy", ""):
            ended = self.created.keys() - self._live()
            return 200, {"workloads": [{"id": name, "name": name} for name in ended]}
        status, body = super()._answer(who, request)
        if status == 202:
            self.created[body["name"]] = self.loop.time()
            self.most = max(self.most, len(self._live()))
        return status, body

    def _live(self) -> list[str]:
        """Return the workloads that have not ended, the oldest first."""
        # Each holds its GPU for ``seconds``; the fourth waits for nobody here.
        return [n for n, at in self.created.items() if self.loop.time() - at < self.seconds]

    def _holding(self) -> list[str]:
        placed = [n for n in self._live() if self.loop.time() - self.created[n] >= self.placing]
        return placed[:GPUS]

    def _held(self) -> int:
        return len(self._holding())

    def _rows(self) -> list[dict[str, Any]]:
        holding = set(self._holding())
        return [
            {
                "id": name,
                "name": name,
                "phase": "Running" if name in holding else "Pending",
                "workloadRequestedResources": {"gpu": {"request": 1}},
                "allocatedResources": {"gpu": 1 if name in holding else 0},
            }
            for name in self._live()
            if self.loop.time() - self.created[name] >= self.lag
        ]


@dataclass(eq=False)
class Crowd:
    """
    Tasks that begin in the same second.

    :param triggerers: so many share them; 0: each waits in its worker.
    :param patience: seconds for which each waits for room.
    :ivar order: since when those that were submitted had waited, in the order of submission.
    """

    loop: VirtualLoop
    plane: RoomyPlane
    triggerers: int
    submit_when: str
    patience: float
    ended: Counter[str] = field(default_factory=Counter)
    order: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._triggerers = [
            Process(f"triggerer-{n}", n + 1, self.loop) for n in range(self.triggerers)
        ]

    def _start(self, process: Process, work: Any, operator: RunaiTrainingOperator) -> Any:
        about: Any = {"conn_type": "runai", "host": "https://org.run.ai", "login": "me"}
        extra = '{"project": "team-a", "verify_ssl": false, "project_id": "7", "cluster_id": "c-1"}'
        known = Connection(conn_id="runai_default", password="a-secret", extra=extra, **about)
        preset = (_preset_connections, {"runai_default": known})
        return process.start(work, preset, (ExecutorSafeguard.tracker, operator))

    async def _live(self, number: int) -> None:
        operator = self._operator(number)
        run, store, since = DagRun.of("run-1", 1), Store(), BEGIN
        given = {"ti": Ti(number), "task": operator, "task_state_store": store, "dag_run": run}
        context: Any = given
        step = partial(operator.execute, context)
        while True:
            process = Process(f"worker-{number}", number + 1, self.loop)
            try:
                await self._start(process, in_greenlet(step), operator)
                self.order.append(since)
                return
            except TaskDeferred as deferred:
                trigger: Any = deferred.trigger
                since = trigger.since
                where = self._triggerers[number % self.triggerers]
                event = await self._start(where, first_event(trigger), operator)
                await asyncio.sleep(random.uniform(1, 20))
                step = partial(operator.execute_in_turn, context, event)
            except Exception as error:
                self.ended[type(error).__name__] += 1
                return

    def _operator(self, number: int) -> RunaiTrainingOperator:
        with DAG(f"dag-{number}", schedule=None):
            return RunaiTrainingOperator(
                task_id="train",
                spec=SPEC,
                submit_when=self.submit_when,
                deferrable=self.triggerers > 0,
                wait_for_completion=False,
                timeouts={"room": self.patience},
                lint_ignore=SILENCE,
            )

    async def play(self) -> None:
        """Let all tasks come to their end."""
        await asyncio.gather(*(self._live(number) for number in range(TASKS)))


async def first_event(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualLoop]:
    monkeypatch.setenv("AIRFLOW__RUNAI__INSTANCE_NAME", "crowded")
    # What users have; the tests of Airflow's side are in more of a hurry.
    monkeypatch.setenv("AIRFLOW__RUNAI__MIN_DEFER_SECONDS", "10")
    monkeypatch.setenv("AIRFLOW__RUNAI__POLL_INTERVAL", "30")
    virtual = VirtualLoop()
    virtual.set_task_factory(adopt_tasks)
    yield virtual
    virtual.close()


def played(
    loop: VirtualLoop,
    triggerers: int,
    when: str = "idle",
    seed: int = 0,
    patience: float = HOUR / 4,
    **plane: Any,
) -> Crowd:
    random.seed(seed)
    crowd = Crowd(loop, RoomyPlane(loop, **plane), triggerers, when, patience)
    with virtual_time(), wire.installed(lambda process: crowd.plane):
        loop.run_until_complete(crowd.play())
    return crowd


@pytest.mark.slow
@pytest.mark.parametrize("when", ["quota", "idle"])
def test_at_one_triggerer_three_are_submitted_and_the_others_give_up(
    loop: VirtualLoop, when: str
) -> None:
    crowd = played(loop, 1, when)
    assert len(crowd.plane.created) == GPUS
    assert crowd.ended == {"NoRoom": TASKS - GPUS}


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_one_after_the_other_all_are_submitted_in_the_order_in_which_they_came(
    loop: VirtualLoop, seed: int
) -> None:
    crowd = played(loop, 1, seed=seed, patience=5 * HOUR, seconds=600.0)
    assert len(crowd.plane.created) == TASKS
    assert crowd.ended == {}
    assert crowd.plane.most == GPUS, "no workload ever waited in Run:ai's queue"
    batches = [crowd.order[n : n + GPUS] for n in range(0, TASKS, GPUS)]
    assert all(max(a) <= min(b) for a, b in pairwise(batches))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_two_triggerers_let_a_few_too_many_go_at_most(loop: VirtualLoop, seed: int) -> None:
    crowd = played(loop, 2, seed=seed)
    assert GPUS <= len(crowd.plane.created) <= GPUS + AT_ONCE


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_workers_that_wait_by_themselves_do_not_make_a_herd(loop: VirtualLoop, seed: int) -> None:
    crowd = played(loop, 0, seed=seed, patience=HOUR / 12)
    assert GPUS <= len(crowd.plane.created) <= GPUS + AT_ONCE

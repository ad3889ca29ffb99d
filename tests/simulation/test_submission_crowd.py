"""
Five hundred tasks that submit in the same second, to a control plane that limits the rate of requests.

The real operator in virtual time, each task in a simulated worker process of its own, so with its
own token; the control plane is a fake at the wire.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from airflow.sdk import DAG
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.execution_time.context import _preset_connections

from airflow_runai.operators.training import RunaiTrainingOperator
from tests.simulation import wire
from tests.simulation.clock import VirtualLoop, virtual_time
from tests.simulation.comms import DagRun
from tests.simulation.process import Process, adopt_tasks, here, in_greenlet

SPEC = {"image": "registry.example/train:7", "command": "./startup.sh"}
IDS = {"project_id": "7", "cluster_id": "c-1"}
#: What the linter would say about it.
SILENCE = ("checkpoint-path-not-persistent", "no-checkpoint-path")
#: What a submission takes before the task defers.
FEWEST = {"with ids": 3, "by name": 4}


@dataclass(eq=False)
class LimitedPlane:
    """
    A control plane that turns away what comes faster than ``rate`` requests a second.

    :param retry_after: seconds that it asks those for; ``None`` if it does not say.
    :param loses_creates: its answers to creates never arrive.
    :param frees_names: whether the name of a deleted workload can be used again.
    """

    loop: VirtualLoop
    rate: float = float("inf")
    retry_after: int | None = None
    workloads: dict[str, str] = field(default_factory=dict)
    specs: dict[str, Any] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    frees_names: bool = True
    loses_creates: bool = False
    logged_in: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    turned_away: int = 0
    _left: float = 1.0
    _filled_at: float = 0.0

    async def carry(self, request: httpx.Request) -> httpx.Response:
        """Take the place of httpx's transport."""
        await asyncio.sleep(0.02)
        process = here()
        assert process is not None, "only simulated processes send"
        self.asked[process.name] += 1
        if not self._has_room():
            self.turned_away += 1
            asks = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
            return httpx.Response(429, headers=asks, json={}, request=request)
        status, body = self._answer(process.name, request)
        if self.loses_creates and status == 202:
            raise httpx.ReadTimeout("the answer did not come", request=request)
        await asyncio.sleep(0.02)
        return httpx.Response(status, json=body, request=request)

    @property
    def _kept(self) -> dict[str, str]:
        return {} if self.frees_names else self.deleted

    def _has_room(self) -> bool:
        if self.rate == float("inf"):
            return True
        passed, self._filled_at = self.loop.time() - self._filled_at, self.loop.time()
        self._left = min(self.rate, self._left + passed * self.rate)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def _answer(self, who: str, request: httpx.Request) -> tuple[int, Any]:
        path = request.url.path
        if path.endswith("/token"):
            self.logged_in.add(who)
            # One text for all, because Airflow masks each one that it has ever seen in each line.
            return 200, {"access_token": "a-token-of-the-crowd", "expires_in": 3600}
        assert who in self.logged_in, "each worker has a token of its own"
        if path.endswith("/projects"):
            return 200, {"projects": [{"id": "7", "name": "team-a", "clusterId": "c-1"}]}
        if request.method == "POST":
            return self._create(json.loads(request.content))
        if path.endswith("/pods"):
            return 200, {"pods": []}
        if "/trainings/" in path:
            return 200, {"spec": self.specs[path.rpartition("/")[2]]}
        wanted = re.split("name=[@=]", request.url.params["filterBy"])[1]
        asked = self.deleted if "deleted" in request.url.params else self.workloads
        return 200, {"workloads": [{"id": i, "name": n} for n, i in asked.items() if wanted in n]}

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        if body["name"] in self.workloads or body["name"] in self._kept:
            return 400, {"message": "the name already exists"}
        identity = f"w-{len(self.workloads)}"
        self.workloads[body["name"]], self.specs[identity] = identity, body["spec"]
        return 202, {"workloadId": identity, "actualPhase": "Creating", **body}


@dataclass(eq=False)
class Ti:
    """One instance of a mapped task, in its first and only try."""

    map_index: int
    dag_id: str = "dag"
    run_id: str = "run-1"
    task_id: str = "train"
    try_number: int = 1
    max_tries: int = 0

    def xcom_push(self, key: str, value: object) -> None:
        """Forget it."""

    def get_task_states(self, **which: object) -> dict[str, dict[str, str]]:
        """Say that it runs."""
        return {
            self.run_id: {self.task_id: "running", f"{self.task_id}_{self.map_index}": "running"}
        }


class Store(dict[str, Any]):
    """The task state store."""

    def set(self, key: str, value: object, retention: object = None) -> None:
        self[key] = value


@dataclass(eq=False)
class Crowd:
    """Tasks that begin in the same second, and how each ended."""

    loop: VirtualLoop
    plane: LimitedPlane
    ids: bool
    life: int = 1
    operators: list[RunaiTrainingOperator] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    async def _work(self, operator: RunaiTrainingOperator, index: int) -> None:
        run = DagRun.of("run-1", self.life)
        given = {"ti": Ti(index), "task": operator, "task_state_store": Store(), "dag_run": run}
        context: Any = given
        try:
            await in_greenlet(lambda: operator.execute(context))
        except TaskDeferred:
            self.ended["deferred"] += 1
        except Exception as error:
            self.ended[f"{type(error).__name__}: {error}"] += 1
        self.seconds = self.loop.time()

    async def submit(self, count: int) -> None:
        extra = {"project": "team-a", "verify_ssl": False, **(IDS if self.ids else {})}
        about: Any = {"conn_type": "runai", "host": "https://org.run.ai", "login": "me"}
        known = Connection(
            conn_id="runai_default", password="a-secret", extra=json.dumps(extra), **about
        )
        tasks = []
        for index in range(count):
            with DAG(f"dag-{index}", schedule=None):
                operator = RunaiTrainingOperator(task_id="train", spec=SPEC, lint_ignore=SILENCE)
            self.operators.append(operator)
            preset = (_preset_connections, {"runai_default": known})
            guard = (ExecutorSafeguard.tracker, operator)
            process = Process(f"worker-{index}", index + 1, self.loop)
            tasks.append(process.start(self._work(operator, index), preset, guard))
        await asyncio.gather(*tasks)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualLoop]:
    monkeypatch.setenv("AIRFLOW__RUNAI__INSTANCE_NAME", "crowded")
    random.seed(11)
    virtual = VirtualLoop()
    virtual.set_task_factory(adopt_tasks)
    yield virtual
    virtual.close()


def crowd(loop: VirtualLoop, count: int, *, ids: bool = False, **limits: Any) -> Crowd:
    return submitted(Crowd(loop, LimitedPlane(loop, **limits), ids), count)


def submitted(found: Crowd, count: int) -> Crowd:
    with virtual_time(), wire.installed(lambda process: found.plane):
        found.loop.run_until_complete(found.submit(count))
    return found


@pytest.mark.parametrize("way", FEWEST)
def test_a_submission_takes_few_requests(loop: VirtualLoop, way: str) -> None:
    found = crowd(loop, 20, ids=way == "with ids")
    assert found.ended == {"deferred": 20}
    assert set(found.plane.asked.values()) == {FEWEST[way]}


@pytest.mark.slow
@pytest.mark.parametrize("retry_after", [None, 5])
def test_five_hundred_at_once_are_all_submitted_once(
    loop: VirtualLoop, retry_after: int | None
) -> None:
    found = crowd(loop, 500, rate=20.0, retry_after=retry_after)
    plane = found.plane
    assert found.ended == {"deferred": 500}
    assert (len(plane.workloads), len(plane.logged_in)) == (500, 500)
    served = sum(plane.asked.values()) - plane.turned_away
    assert served == 500 * FEWEST["by name"], "what was turned away is repeated, and nothing else"
    print(f"{found.seconds:.0f} s, {plane.turned_away} of {served + plane.turned_away} turned away")


def test_a_worker_that_waits_hears_that_it_is_told_to_stop(loop: VirtualLoop) -> None:
    found = Crowd(loop, LimitedPlane(loop, rate=0.0), ids=True)
    loop.after(95.0, lambda: found.operators[0].on_kill())
    submitted(found, 1)
    assert list(found.ended) == [
        "AirflowException: the worker was told to stop: the next one goes on with the submission"
    ]
    assert found.seconds < 97.0
    assert found.plane.workloads == {}


def test_a_create_that_arrived_is_not_forgotten_by_a_worker_that_is_told_to_stop(
    loop: VirtualLoop,
) -> None:
    found = Crowd(loop, LimitedPlane(loop, loses_creates=True), ids=True)
    loop.after(0.01, lambda: found.operators[0].on_kill())
    submitted(found, 1)
    assert found.ended == {"deferred": 1}, "it is drained, so the trigger goes on with what exists"
    assert len(found.plane.workloads) == 1
    assert found.seconds < 2.0


@pytest.mark.parametrize(
    ("frees_names", "life", "generation"), [(True, 1, "g1"), (False, 1, "g2"), (True, 2, "g2")]
)
def test_what_a_run_that_is_made_again_finds_deleted_is_passed_over(
    loop: VirtualLoop, frees_names: bool, life: int, generation: str
) -> None:
    plane = crowd(loop, 1, frees_names=frees_names).plane
    plane.deleted, plane.workloads = plane.workloads, {}
    again = submitted(Crowd(loop, plane, ids=True, life=life), 1)
    assert again.ended == {"deferred": 1}
    (name,) = plane.workloads
    assert name.endswith(generation)

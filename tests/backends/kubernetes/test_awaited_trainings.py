"""Many waits over the model of Kubernetes in virtual time: one list and one watch serve them all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest

from airflow_runai.backends import drivers
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.kubernetes.watching.awaited_trainings import AwaitedTraining
from airflow_runai.backends.kubernetes.watching.namespace_reflectors import ClusterReflectors
from airflow_runai.backends.kubernetes.watching.reflector import Reflector
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.core.kubernetes.job_facts import FINGERPRINT
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.waiting import wait
from airflow_runai.core.workload import Workload
from tests.model.cluster import Cluster
from tests.model.conftest import job
from tests.model.kubelet import Life
from tests.model.resources import JOBS, PODS
from tests.model.test_transport import play

pytestmark = pytest.mark.slow

T = TypeVar("T")
TEAM = "team-b"


class ModelTime(ServerClock):
    """The model's clock."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._clock = cluster.clock

    def now(self) -> float:
        return self._clock.now()

    def learn(self, date: str | None, sent: float) -> None:
        """It is the cluster's own."""


class Triggerer:
    """
    Waits on one event loop, as a session serves them.

    :ivar asked: requests by verb and kind; the pages of a list one by one.
    :ivar heard: what the waits have told.
    :ivar delays: seconds for which each request of a method is on its way.
    """

    def __init__(self, cluster: Cluster, client: httpx.AsyncClient) -> None:
        self.cluster, self._client = cluster, client
        self.backend = KubernetesBackend(ClusterSettings("model"))
        self.asked: Counter[str] = Counter()
        self.heard: list[Notice] = []
        self.delays: dict[str, float] = {}
        self.desk = ClusterReflectors(self._look)
        self._looking: dict[Reflector, asyncio.Task[None]] = {}
        client.event_hooks["request"].append(self._count)

    async def _count(self, request: httpx.Request) -> None:
        await asyncio.sleep(self.delays.get(request.method, 0.0))
        *_, kind, name = ["", *request.url.path.split("/")]
        if name in ("jobs", "pods", "workloads"):
            ours = "labelSelector" in request.url.params
            watches = "watch" in request.url.params
            of_one = "-uid=" in request.url.params.get("labelSelector", "")
            verb = "watch" if watches else "look" if of_one else "list" if ours else request.method
            self.asked[f"{verb} {name}"] += 1
        else:
            self.asked[f"{request.method} {kind}"] += 1

    def _look(self) -> None:
        needed = self.desk.sources
        for one in [one for one in self._looking if one not in needed]:
            self._looking.pop(one).cancel()
        for one in needed:
            if one not in self._looking:
                self._looking[one] = asyncio.create_task(self.run(one.run()))

    async def run(self, flow: Flow[T]) -> T:
        async def hear(notice: Notice) -> None:
            self.heard.append(notice)

        return await drivers.arun(flow, self._client, hear, clock=ModelTime(self.cluster))

    async def submit(self, name: str, gpus: int = 1, fingerprint: str = "0123abcd") -> Workload:
        wanted = named(job(name, TEAM, gpus), TEAM, fingerprint)
        made = self.cluster.store.create(JOBS, wanted)
        uid = made["metadata"]["uid"]
        return Workload(
            uid, name, "", TEAM, "model", "Training", created_at=self.cluster.clock.now()
        )

    async def outcome(
        self, start: Workload, policy: WaitPolicy | None = None, **timeouts: float
    ) -> Outcome:
        policy = policy or WaitPolicy(15.0, Timeouts(**timeouts))
        with AwaitedTraining(start, self.backend.cluster, 15.0, self.desk) as reader:
            return await self.run(wait(policy, reader, start))

    @property
    def looks(self) -> int:
        """How many reflectors look now."""
        return len(self._looking)


def named(wanted: dict[str, Any], namespace: str, fingerprint: str) -> dict[str, Any]:
    # Only what was made from a specification of ours gets a history.
    wanted["metadata"] |= {"namespace": namespace, "annotations": {FINGERPRINT: fingerprint}}
    return wanted


def played(act: Callable[[Triggerer], Awaitable[T]]) -> T:
    async def on(cluster: Cluster, client: httpx.AsyncClient) -> T:
        triggerer = Triggerer(cluster, client)
        found = await act(triggerer)
        assert triggerer.looks == 0, "nobody waits, and nobody looks"
        return found

    return play(on)


def test_a_hundred_waits_cost_one_list_and_one_watch_for_each_kind() -> None:
    async def act(triggerer: Triggerer) -> Counter[str]:
        triggerer.cluster.life_of = lambda pod: Life(run=1e9)
        starts = [await triggerer.submit(f"train-{number}") for number in range(100)]
        waits = [asyncio.create_task(triggerer.outcome(one)) for one in starts]
        await asyncio.sleep(120.0)
        assert not any(one.done() for one in waits)
        spent = Counter(triggerer.asked)
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return spent

    spent = played(act)
    assert {one: spent[one] for one in ("list jobs", "list pods", "watch jobs", "watch pods")} == {
        "list jobs": 1,
        "list pods": 1,
        "watch jobs": 1,
        "watch pods": 1,
    }
    # The two that run have that written down, each once.
    assert spent["PATCH jobs"] == 2
    assert sum(spent.values()) <= 4 + 2 * 4


@pytest.mark.parametrize("disturbed", ["", "restart", "drop_streams"])
def test_all_ends_are_seen_at_once_whatever_the_server_does(disturbed: str) -> None:
    async def act(triggerer: Triggerer) -> list[tuple[str, float]]:
        cluster = triggerer.cluster
        cluster.life_of = lambda pod: Life(run=30.0)
        starts = [await triggerer.submit(f"train-{number}", gpus=0) for number in range(40)]
        if disturbed:
            for second in (20.0, 30.2, 31.0):
                cluster.clock.after(second, getattr(cluster.server, disturbed))
        outcomes = await asyncio.gather(*map(triggerer.outcome, starts))
        return [(one.status, one.ended_at - one.timeline[-1].at) for one in outcomes]

    seen = played(act)
    assert {status for status, _ in seen} == {"succeeded"}
    assert max(late for _, late in seen) < (10.0 if disturbed else 1.1)


def test_a_preemption_is_told_and_ends_nothing() -> None:
    async def act(triggerer: Triggerer) -> Outcome:
        cluster = triggerer.cluster
        lives = iter([Life(run=1e9), Life(run=5.0)])
        cluster.life_of = lambda pod: next(lives)
        start = await triggerer.submit("train")
        waiting = asyncio.create_task(triggerer.outcome(start))
        await asyncio.sleep(60.0)
        (pod,) = cluster.store.all(PODS)
        cluster.kai.reclaim(pod)
        return await waiting

    outcome = played(act)
    assert outcome.status == "succeeded"
    assert outcome.clocks.interruptions == 1
    words = [moment.message for moment in outcome.timeline]
    assert any(one.startswith("preempted by reclaim") for one in words), words


def test_a_training_that_is_deleted_is_gone_at_once() -> None:
    async def act(triggerer: Triggerer) -> Outcome:
        triggerer.cluster.life_of = lambda pod: Life(run=1e9)
        start = await triggerer.submit("train")
        waiting = asyncio.create_task(triggerer.outcome(start))
        await asyncio.sleep(60.0)
        await triggerer.run(triggerer.backend.delete(start))
        return await waiting

    outcome = played(act)
    assert (outcome.status, outcome.absent) == ("gone", False)


def test_a_training_that_was_deleted_before_the_wait_began_is_noticed() -> None:
    async def act(triggerer: Triggerer) -> Outcome:
        start = await triggerer.submit("train")
        await triggerer.run(triggerer.backend.delete(start))
        await asyncio.sleep(60.0)
        return await triggerer.outcome(start)

    assert played(act).status == "gone"


def test_a_label_that_is_taken_away_ends_nothing() -> None:
    async def act(triggerer: Triggerer) -> Outcome:
        cluster = triggerer.cluster
        cluster.life_of = lambda pod: Life(run=100.0)
        start = await triggerer.submit("train")
        waiting = asyncio.create_task(triggerer.outcome(start))
        await asyncio.sleep(30.0)
        found = cluster.store.get(JOBS, TEAM, "train")
        cluster.store.change(JOBS, found, lambda one: one["metadata"].update(labels={}))
        return await waiting

    # No watch shows its end; after each list that lacks it, its wait reads for itself.
    outcome = played(act)
    assert outcome.status == "succeeded"
    assert outcome.ended_at - outcome.timeline[-1].at < 610.0


@pytest.mark.parametrize(
    "rights",
    [
        {("watch", "jobs"), ("watch", "pods")},
        {("list", "pods"), ("watch", "pods")},
        {("list", "events")},
        {("patch", "jobs")},
        {("list", "jobs"), ("watch", "jobs")},
    ],
    ids=lambda rights: "-".join(sorted("-".join(one) for one in rights)),
)
def test_a_missing_right_degrades_and_loses_no_end(rights: set[tuple[str, str]]) -> None:
    async def act(triggerer: Triggerer) -> Outcome:
        cluster = triggerer.cluster
        cluster.server.forbidden |= rights
        cluster.life_of = lambda pod: Life(run=100.0)
        return await triggerer.outcome(await triggerer.submit("train"))

    outcome = played(act)
    assert outcome.status == "succeeded"
    assert outcome.ended_at - outcome.timeline[-1].at < 60.0


def test_an_end_costs_one_look_at_its_pods() -> None:
    """What the watch has shown for good is not asked for again; a stranger has no history of ours."""

    async def act(triggerer: Triggerer) -> tuple[Counter[str], str]:
        triggerer.cluster.life_of = lambda pod: Life(run=100.0)
        start = await triggerer.submit("train", fingerprint="")
        waiting = asyncio.create_task(triggerer.outcome(start))
        await asyncio.sleep(60.0)
        triggerer.asked.clear()
        return triggerer.asked, (await waiting).status

    spent, status = played(act)
    assert status == "succeeded"
    assert (spent["GET jobs"], spent["look pods"]) == (0, 1)


def test_a_wait_that_comes_later_is_served_by_what_was_seen() -> None:
    async def act(triggerer: Triggerer) -> tuple[Counter[str], list[str]]:
        triggerer.cluster.life_of = lambda pod: Life(run=100.0)
        first = asyncio.create_task(triggerer.outcome(await triggerer.submit("train-0", gpus=0)))
        second = await triggerer.submit("train-1", gpus=0)
        await asyncio.sleep(30.0)
        triggerer.asked.clear()
        waiting = asyncio.create_task(triggerer.outcome(second))
        await asyncio.sleep(1.0)
        spent = Counter(triggerer.asked)
        return spent, [(await first).status, (await waiting).status]

    spent, ends = played(act)
    assert ends == ["succeeded", "succeeded"]
    assert spent["list jobs"] + spent["list pods"] + spent["watch jobs"] == 0

"""The world M: the model of Kubernetes with KAI on a stepped clock, spoken to with either driver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from airflow_runai.backends import drivers
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.core.manifests import ClusterTerms
from airflow_runai.core.project import Project
from airflow_runai.core.workload import Workload
from tests.contract.crowds import Crowd, Seen, ServedByWatches, in_steps
from tests.contract.model_line import ModelLine
from tests.contract.model_logs import AwaitingWithLogs, BlockingWithLogs, LogStreams
from tests.contract.model_trainings import JOB_NAME, Trainings
from tests.contract.rig import Rig, Script
from tests.contract.world_time import WorldTime
from tests.model.clock import SteppedClock
from tests.model.cluster import Cluster
from tests.model.conftest import job
from tests.model.faults import Fault, Wire, broken, saying
from tests.model.kubelet import phase_of
from tests.model.resources import ALL, JOBS, PODS, Object
from tests.model.transport import BlockingTransport

T = TypeVar("T")
SET_NAME = "jobset.sigs.k8s.io/jobset-name"
#: Seconds of virtual time after which a flow hangs.
LONGEST = 50_000.0
#: Seconds in which a training is placed, if there is room.
SETTLING = 2.0
#: Requests after which a flow goes in circles.
MOST_REQUESTS = 4_000
TERMS = ClusterTerms(priority_classes={"low": "train", "high": "build-preemptible"})


class Hangs(AssertionError):
    """A flow does not come to an end."""


class ModelRig(Rig):
    """Its blocking driver; a sleep moves the model's clock."""

    knows = frozenset(
        {
            "durable",
            "image",
            "secret",
            "fields",
            "phases of tomorrow",
            "slow start",
            "quota of objects",
            "queues",
            "rights",
            "gangs",
            "gang scheduling",
            "reasons",
            "nodes",
            "memory",
            "logs",
        }
    )

    words = {
        "spent": "failed with exit code 3 (Error); Job has reached the specified backoff limit",
        "cut short": "Kubernetes counts",
        "preempted": "preempted by",
        "share": '"gpu-fraction": "0.5"',
    }

    def __init__(
        self,
        *,
        images: tuple[str, ...] | None = None,
        initializing_seconds: float = 0.4,
        memory_seconds: float | None = None,
        state: object = None,
        secrets: tuple[str, ...] = (),
        **kai: Any,
    ) -> None:
        self.clock = SteppedClock()
        known = None if images is None else tuple(one.split(":")[0] for one in images)
        self.trainings = Trainings(self.clock, initializing_seconds, known, memory_seconds)
        self.trainings.secrets |= set(secrets)
        quotas = {"team-a": 2, "team-b": 2}
        self.cluster = Cluster(
            self.clock, gpus=4, quotas=quotas, life_of=self.trainings.life_of, **kai
        )
        self.cluster.store.listen(self.trainings.hear)
        self.cluster.server.log_of = self.trainings.log_of
        self._streams = LogStreams(self.cluster, self.trainings, self.pass_time)
        self.wire = Wire(self.cluster.server, self.clock.now, on_request=self._bound)
        self.backend: Any = KubernetesBackend(ClusterSettings("model", terms=TERMS))
        self.told: list[Notice] = []
        self.asked: list[str] = []
        self._line = ModelLine(self.cluster.server)
        self._agenda: list[tuple[float, Callable[[], object]]] = []
        self._until = self._most = float("inf")

    def place(self) -> Project:
        found: Project = self.run(self.backend.find_project("team-a"))
        return found

    def run(self, flow: Flow[T]) -> T:
        transport = BlockingWithLogs(self.wire, self._streams)
        with (
            self._bounded(),
            httpx.Client(transport=transport, base_url="http://model") as client,
        ):
            clock = WorldTime(self.clock.now)
            return drivers.run(flow, client, self.told.append, self.pass_time, clock)

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Let a flow that hangs fail with what it did last."""
        self._until = self.clock.now() + LONGEST
        before = len(self.wire.spoken)
        self._most = before + MOST_REQUESTS
        try:
            yield
        finally:
            self._until = self._most = float("inf")
        if any(" POST " in line for line in self.wire.spoken[before:]):
            self.pass_time(SETTLING)

    def _bound(self, moment: float = 0.0) -> None:
        if moment > self._until or len(self.wire.spoken) > self._most:
            raise Hangs("\n".join(self.wire.spoken[-30:]))

    def person(self, flow: Flow[T]) -> T:
        with httpx.Client(
            transport=BlockingTransport(self.wire), base_url="http://model"
        ) as client:
            return drivers.run(flow, client, sleep=self.pass_time, clock=WorldTime(self.clock.now))

    def pass_time(self, seconds: float) -> None:
        end = self.clock.now() + seconds
        self._bound(end)
        while due := [one for one in self._agenda if one[0] <= end]:
            one = min(due, key=lambda planned: planned[0])
            self._agenda.remove(one)
            self.clock.advance(max(0.0, one[0] - self.clock.now()))
            one[1]()
        self.clock.advance(max(0.0, end - self.clock.now()))

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        self._agenda.append((self.clock.now() + seconds, act))

    def play(self, script: Script) -> None:
        self.trainings.script = script

    def rival(self, gpus: int) -> None:
        wanted = job("rival", "team-b", gpus)
        for where in (wanted, wanted["spec"]["template"]):
            labels = where["metadata"]["labels"]
            where["metadata"]["labels"] = {
                **labels,
                "kai.scheduler/preemptibility": "non-preemptible",
            }
        wanted["metadata"]["namespace"] = "team-b"
        self.cluster.store.create(JOBS, wanted)
        self.pass_time(5)

    def reclaim(self, name: str) -> None:
        pods = [one for one in self._pods(name) if one["spec"].get("nodeName")]
        assert pods, f"{name} holds nothing"
        for pod in pods:
            self.cluster.kai.reclaim(pod)

    def evict_without_words(self, name: str) -> None:
        self.cluster.kai.is_mute = True
        self.reclaim(name)

    def lose_reply(self, method: str = "POST") -> None:
        self.wire.faults.append(Fault(broken, method, is_late=True))

    def reset(self, method: str = "POST") -> None:
        self.wire.faults.append(Fault(broken, method))

    def outage(self, seconds: float) -> None:
        self.wire.until = self.clock.now() + seconds

    def answer(
        self, status: int, times: int, *, html: bool = False, retry_after: float | None = None
    ) -> None:
        self.wire.faults.append(
            Fault(saying(status, html=html, retry_after=retry_after), "", times)
        )

    def fill(self, seconds: float) -> None:
        server = self.cluster.server
        server.most_jobs = 0
        self.clock.after(seconds, lambda: setattr(server, "most_jobs", None))

    def lose_node(self) -> None:
        self.cluster.add_node("node-1", 4)
        self.cluster.lose_node("node-0")

    def hide(self) -> None:
        self.cluster.server.forbidden |= {("list", "pods"), ("list", "events")}

    def forbid(self, method: str) -> None:
        verbs = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
        self.cluster.server.forbidden.add((verbs[method], JOBS.plural))

    def expire_credentials(self) -> None:
        self._line.expire()
        self.answer(401, times=1)

    @property
    def logins(self) -> int:
        return self._line.issued

    def drop(self) -> None:
        self.cluster.server.drop_streams()

    def forget(self) -> None:
        self.cluster.server.restart()

    def spoil(self, name: str) -> None:
        self._line.spoiled.append(name)

    def be_newer(self) -> None:
        self.wire.is_newer = True

    def restart(self) -> None:
        self.cluster.server.restart()
        self.cluster.jobs.restart()

    def stored(self, name: str) -> str:
        kept = [one["metadata"] for kind in ALL for one in self.cluster.store.all(kind)]
        return json.dumps([one for one in kept if name in one["name"]])

    def names(self) -> list[str]:
        return [name for name in self.trainings.names if name.startswith("train")]

    def lives(self, name: str) -> bool:
        return any(one["spec"].get("nodeName") for one in self._pods(name))

    def _pods(self, name: str) -> list[Object]:
        """Return the pods of a workload that have not ended."""
        pods = [
            one
            for one in self.cluster.store.all(PODS)
            if name in (one["metadata"]["labels"].get(key) for key in (JOB_NAME, SET_NAME))
        ]
        return [one for one in pods if phase_of(one) not in ("Succeeded", "Failed")]


class AwaitingModelRig(ModelRig):
    """The same with the awaiting driver, and with crowds."""

    knows = ModelRig.knows | {"crowds", "unreadable objects"}
    sight = 1.5

    def await_all(self, policy: WaitPolicy, workloads: Sequence[Workload]) -> list[Seen]:
        client, clock = self._line.client(), WorldTime(self.clock.now)
        crowd = Crowd(ServedByWatches(self.backend.cluster), client, clock, self.asked)
        with self._line.laid():
            return in_steps(lambda: crowd.outcomes(policy, workloads), self.pass_time)

    def run(self, flow: Flow[T]) -> T:
        async def tell(news: Notice) -> None:
            self.told.append(news)

        async def sleep(seconds: float) -> None:
            # What happens meanwhile talks to the platform, too, and blocks.
            await asyncio.to_thread(self.pass_time, seconds)

        async def main() -> T:
            transport = AwaitingWithLogs(self.wire, self._streams)
            async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
                clock = WorldTime(self.clock.now)
                return await drivers.arun(flow, client, tell, sleep, clock)

        with self._bounded():
            return asyncio.run(main())

"""The real Kueue: queues that are stopped, gone or nobody's, what a wait makes of them, and when it hears of it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from airflow_runai.backends import access, drivers
from airflow_runai.backends.kubernetes.api import writes
from airflow_runai.backends.kubernetes.api.paths import JOBS
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.trainings import creation
from airflow_runai.backends.kubernetes.watching.awaited_trainings import AwaitedTraining
from airflow_runai.backends.kubernetes.watching.namespace_reflectors import ClusterReflectors
from airflow_runai.backends.termination import stop
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.waiting import wait
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotQueued, NotResolved
from tests.contract.lane_rig import KueueRig
from tests.contract.rig import Script, order
from tests.contract.waits import look, outcome_of, submit
from tests.rig import objects
from tests.rig.cluster import Cluster
from tests.rig.lanes import lane
from tests.rig.objects import KUEUE
from tests.rig.waiting import until
from tests.support.waiting import eventually

pytestmark = [pytest.mark.rig, pytest.mark.slow]
DRAINED = "stopped by kueue: The {kind} is stopped; {kind} {name} is inactive"


@pytest.fixture
def rig(rig_cluster: Cluster, tmp_path: Path) -> Iterator[KueueRig]:
    with lane(rig_cluster, gpus=4) as own:
        made = KueueRig(own, tmp_path)
        made.play(Script(seconds=None))
        yield made
        made.close()


def queue_of(rig: KueueRig, kind: str) -> str:
    doors = f"namespaces/{rig.lane.namespace}/localqueues"
    return f"{KUEUE}/{doors if kind == 'LocalQueue' else 'clusterqueues'}/{rig.lane.queue}"


def await_words(rig: KueueRig, made: Workload, phase: str, words: str) -> None:
    def is_said() -> bool:
        found = look(rig, made)
        return (found.phase, found.message) == (phase, words)

    until(is_said, f"{phase}: {words}")


def submit_behind_rival(rig: KueueRig) -> Workload:
    """Submit a training that has to borrow what its owner uses himself."""
    rig.rival(2)
    return submit(rig, compute={"gpu_devices": 3})


def reasons(rig: KueueRig, made: Workload) -> list[str]:
    return [reason.sentence for reason in rig.run(rig.backend.explain(look(rig, made)))]


@pytest.mark.qualify
@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        ("LocalQueue", "Hold"),
        ("LocalQueue", "HoldAndDrain"),
        ("ClusterQueue", "HoldAndDrain"),
    ],
)
def test_a_stopped_queue_is_told_and_waited_for(rig: KueueRig, kind: str, policy: str) -> None:
    api, name = rig.lane.cluster.api, rig.lane.queue
    first = submit(rig)
    until(lambda: look(rig, first).phase == "Running", "the first training")
    api.merge(queue_of(rig, kind), {"spec": {"stopPolicy": policy}})
    second = submit(rig, "train-2-g1")
    await_words(rig, second, "Pending", f"{kind} {name} is inactive")
    (why,) = reasons(rig, second)
    assert why.startswith(f"its queue is stopped: {kind} {name} is inactive")
    if policy == "HoldAndDrain":
        await_words(rig, first, "Pending", DRAINED.format(kind=kind, name=name))
    else:
        assert look(rig, first).phase == "Running"
    rig.play(Script(seconds=1))
    api.merge(queue_of(rig, kind), {"spec": {"stopPolicy": "None"}})
    assert outcome_of(rig, second).status == "succeeded"
    if policy == "HoldAndDrain":
        outcome = outcome_of(rig, first)
        assert outcome.status == "succeeded"
        assert (outcome.clocks.interruptions, outcome.clocks.preemptions) == (1, 0)


@pytest.mark.qualify
def test_a_queue_that_is_deleted_under_a_training_is_told_and_waited_for(rig: KueueRig) -> None:
    api, name = rig.lane.cluster.api, rig.lane.queue
    made = submit_behind_rival(rig)
    api.delete(queue_of(rig, "LocalQueue"))
    await_words(rig, made, "Pending", f"LocalQueue {name} doesn't exist")
    (why,) = reasons(rig, made)
    assert why.startswith(f"its queue does not exist: LocalQueue {name} doesn't exist")
    with pytest.raises(NotResolved, match=r"the cluster has no localqueues of this name"):
        submit(rig, "train-2-g1")
    rig.play(Script(seconds=1))
    api.delete(f"/apis/batch/v1/namespaces/{rig.lane.namespace}/jobs/rival")
    objects.add_local_queue(api, rig.lane.namespace, name, name)
    assert outcome_of(rig, made).status == "succeeded"


@pytest.mark.qualify
def test_without_kueue_trainings_go_on_and_new_ones_are_made_once_when_it_is_back(
    rig: KueueRig,
) -> None:
    cluster = rig.lane.cluster
    first = submit(rig)
    until(lambda: look(rig, first).phase == "Running", "the first training")
    cluster.stop_part("kueue")
    made: list[Workload] = []
    submitting = threading.Thread(target=lambda: made.append(submit(rig, "train-2-g1")))
    try:
        submitting.start()
        assert look(rig, first).phase == "Running"
        rig.play(Script(seconds=1))
        assert rig.names() == [first.name], "the webhook of Kueue refuses all new Jobs"
    finally:
        cluster.start_part("kueue")
    submitting.join()
    assert outcome_of(rig, made[0]).status == "succeeded"
    assert rig.names() == [first.name, "train-2-g1"]


@pytest.mark.qualify
def test_what_kueue_does_not_know_yet_is_suspended_as_soon_as_it_does(rig: KueueRig) -> None:
    api, classes, late = rig.lane.cluster.api, f"{KUEUE}/workloadpriorityclasses", rig.lane.name
    made = submit_in_lost_class(rig, late)
    with pytest.raises(NotQueued, match="Kueue has no Workload for it yet"):
        rig.person(rig.backend.suspend(made))
    about = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "WorkloadPriorityClass"}
    api.create(classes, {**about, "metadata": {"name": late}, "value": 50})
    try:
        said = rig.person(stop(rig.backend, made, "suspend"))
        assert said == f"workload {made.name} was suspended"
        assert look(rig, made).phase == "Stopped"
        rig.play(Script(seconds=1))
        rig.person(rig.backend.resume(made))
        assert outcome_of(rig, made).status == "succeeded"
    finally:
        api.delete(f"{classes}/{late}")


def submit_in_lost_class(rig: KueueRig, name: str) -> Workload:
    """Submit in a priority class that is gone when its Job is made: then Kueue says nothing at all."""
    known = rig.backend
    assert isinstance(known, KubernetesBackend)
    wanted, dialect = order(rig, priority=name), rig.person(known.dialect())
    made = creation.manifests(rig.place(), wanted, dialect, known.settings)
    rig.person(writes.create(JOBS.collection(rig.lane.namespace), made.workload))
    (found,) = rig.person(known.find(rig.place(), wanted.name, exact=True))
    return found


class Awaiting:
    """One wait as a triggerer does it, on watches alone: its next poll would be too late."""

    def __init__(self, rig: KueueRig, client: httpx.AsyncClient) -> None:
        self._rig, self._client = rig, client
        self._desk = ClusterReflectors(self._look)
        self._looking: list[Any] = []
        self.asked: Counter[str] = Counter()
        client.event_hooks["request"].append(self._count)

    def _look(self) -> None:
        for one in self._desk.sources:
            if one not in [source for source, _ in self._looking]:
                task = asyncio.create_task(drivers.arun(one.run(), self._client))
                self._looking.append((one, task))

    async def _count(self, request: httpx.Request) -> None:
        if request.url.path.endswith("/workloads"):
            selector = request.url.params["labelSelector"]
            whole = "watch" if "watch" in request.url.params else "list"
            self.asked["look" if "=" in selector else whole] += 1

    async def outcome(self, made: Workload) -> Outcome:
        policy, known = WaitPolicy(600.0, when_suspended="end"), self._rig.backend
        assert isinstance(known, KubernetesBackend)
        with AwaitedTraining(made, known.cluster, 600.0, self._desk) as reader:
            found = await drivers.arun(wait(policy, reader, made), self._client)
        for _, task in self._looking:
            task.cancel()
        return found


def test_a_queued_training_that_is_taken_out_of_the_queue_is_noticed_by_the_watch(
    rig: KueueRig,
) -> None:
    made = submit_behind_rival(rig)
    who = reaching(rig.lane.cluster)

    async def main(act: Callable[[], object]) -> tuple[Outcome, Counter[str]]:
        async with access.async_client(who, lambda: who) as client:
            awaiting = Awaiting(rig, client)
            waiting = asyncio.create_task(awaiting.outcome(made))
            await eventually(lambda: awaiting.asked["watch"], "the watch of Workloads")
            await asyncio.to_thread(act)
            return await waiting, awaiting.asked

    outcome, asked = asyncio.run(main(lambda: rig.person(rig.backend.suspend(made))))
    assert (outcome.status, outcome.phase) == ("stopped", "Stopped")
    assert (asked["list"], asked["watch"]) == (1, 1)
    assert outcome.clocks.total < 300.0, "no poll was due"


def reaching(cluster: Cluster) -> access.ClusterAccess:
    config = yaml.safe_load(cluster.kubeconfig("airflow").read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = access.read_certificates(server["certificate-authority"])
    return access.ClusterAccess(server["server"], f"Bearer {user['token']}", authority)

"""In virtual time, over the model of Kubernetes: what is said until a pod is gone, over few connections."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import httpx
import pytest
import structlog

from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Notice
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.waiting import wait
from airflow_runai.core.workload import Workload
from airflow_runai.hooks.sessions import one_per_loop, session
from airflow_runai.tasks.log_fetches import HELD_CHARACTERS, LISTENERS, LogFetches
from airflow_runai.tasks.log_tail import LogTail
from tests.benchmarks.virtual_loop import VirtualLoop, run
from tests.model.cluster import Cluster
from tests.model.conftest import JOB_PATH, job
from tests.model.kubelet import Life
from tests.model.resources import PODS, Object
from tests.model.server import Asked
from tests.model.store import Change
from tests.model.transport import ModelTransport

CONFIG = {
    "current-context": "model",
    "contexts": [{"name": "model", "context": {"cluster": "model", "user": "airflow"}}],
    "clusters": [{"name": "model", "cluster": {"server": "http://model"}}],
    "users": [{"name": "airflow", "user": {"token": "a-token-of-these-tests"}}],
}
#: Parts that a training saves between SIGTERM and its end.
PARTS = 19
JOB_NAME = "batch.kubernetes.io/job-name"


class _Clock:
    """The cluster's time is the loop's."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.now, self.after = time.time, loop.call_later


class Play:
    """
    A cluster, and waits for its trainings with their task logs.

    :param grace: seconds from SIGTERM to the end of a first pod; the next one runs for 10 s.
    :param code: with which the first one ends then.
    :ivar told: sentences of all task logs.
    :ivar rests: what each wait has left to the worker.
    :ivar logs_asked: requests for logs, streams included.
    """

    def __init__(
        self, loop: VirtualLoop, patch: pytest.MonkeyPatch, count: int, grace: float, code: int
    ) -> None:
        self.grace, self.code = grace, code
        self.told: list[str] = []
        self.rests: list[Any] = []
        self.logs_asked = 0
        self._bound: dict[str, int] = {}
        quotas = {"team-b": count}
        self.cluster = Cluster(_Clock(loop), gpus=count, quotas=quotas, life_of=self._life_of)
        self.cluster.store.listen(self._hear)
        self.transport = ModelTransport(self.cluster.server)

        async def carry(_: object, request: httpx.Request) -> httpx.Response:
            await request.aread()
            is_log = request.url.path.endswith("/log")
            self.logs_asked += is_log
            await asyncio.sleep(0.01)
            return await self.transport.handle_async_request(request)

        patch.setattr("httpx.AsyncHTTPTransport.handle_async_request", carry)

    def _life_of(self, pod: Object) -> Life:
        name = pod["metadata"]["labels"][JOB_NAME]
        number = self._bound[name] = self._bound.get(name, -1) + 1
        return Life(run=10.0) if number else Life(run=1e9, on_sigterm=(self.grace, self.code))

    def _hear(self, change: Change) -> None:
        """Let the containers say what they do."""
        new, old = change.new, change.old
        if change.resource != PODS or new is None:
            return
        if _runs(new) and not (old and _runs(old)):
            self.say(new, "begins")
        if _goes(new) and not (old and _goes(old)):
            for part in range(1, PARTS + 1):
                say = partial(self.say, new, f"saving, part {part}")
                self.cluster.clock.after(part * self.grace / (PARTS + 1), say)

    def say(self, pod: Object, text: str) -> None:
        self.cluster.server.logs.write(pod, text)

    def submit(self, name: str) -> Workload:
        body = job(name, "team-b", 1)
        body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 60
        asked = Asked("POST", JOB_PATH.format("team-b"), {}, body)
        answer = self.cluster.server.answer(asked)
        assert isinstance(answer.body, dict)
        return Workload(answer.body["metadata"]["uid"], name, "", "team-b", "", "Training")

    def running(self) -> list[Object]:
        return [pod for pod in self.cluster.store.all(PODS) if _runs(pod)]

    async def wait(self, start: Workload, get_logs: str) -> Outcome:
        tail = LogTail("played", start, get_logs, 30.0)

        async def report(notice: Notice) -> None:
            tail.hear(notice)

        async with session("played") as joined:
            with joined.watched(start, 30.0) as reader:
                outcome = await joined.run(wait(WaitPolicy(30.0), reader, start), report)
        tail.close()
        self.rests.append(tail.rest())
        return outcome


class GangPlay(Play):
    """The same with gangs of a master and two workers, of which the last fails in its first life."""

    def __init__(
        self, loop: VirtualLoop, patch: pytest.MonkeyPatch, count: int, grace: float, code: int
    ) -> None:
        super().__init__(loop, patch, 3 * count, grace, code)

    def _life_of(self, pod: Object) -> Life:
        name = pod["metadata"]["labels"][JOB_NAME]
        if super()._life_of(pod).run < 1e9:
            return Life(run=10.0)
        is_weak = name.endswith("-worker-1")
        return Life(run=15.0, exit_code=3) if is_weak else Life(run=1e9, on_sigterm=(1.0, 143))

    def submit(self, name: str) -> Workload:
        one = job(name, "team-b", 1, backoffLimit=0, completions=1, parallelism=1)
        template = {"metadata": {"labels": one["metadata"]["labels"]}, "spec": one["spec"]}
        members = {"master": 1, "worker": 2}
        replicated = [
            {"name": member, "replicas": pods, "template": template}
            for member, pods in members.items()
        ]
        spec = {"failurePolicy": {"maxRestarts": 3}, "replicatedJobs": replicated}
        body = {**one, "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "spec": spec}
        path = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/team-b/jobsets"
        answer = self.cluster.server.answer(Asked("POST", path, {}, body))
        assert isinstance(answer.body, dict)
        return Workload(answer.body["metadata"]["uid"], name, "", "team-b", "", "Distributed")


def _runs(pod: Object) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{"state": {}}]
    return "running" in statuses[0]["state"]


def _goes(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def played(
    patch: pytest.MonkeyPatch,
    get_logs: str,
    names: list[str],
    story: Callable[[Play], Any],
    grace: float = 2.0,
    code: int = 1,
    kind: type[Play] = Play,
) -> Play:
    extra = {"kube_config": json.dumps(CONFIG), "project": "team-b", "runai_dialect": "kai"}
    connection = {"conn_type": "kubernetes", "extra": extra}
    patch.setenv("AIRFLOW_CONN_PLAYED", json.dumps(connection))
    made: list[Play] = []

    async def main(loop: VirtualLoop) -> None:
        play = kind(loop, patch, len(names), grace, code)
        made.append(play)
        waits = [asyncio.create_task(play.wait(play.submit(name), get_logs)) for name in names]
        await story(play)
        outcomes = await asyncio.gather(*waits)
        # To Kubernetes, exit code 0 is a success whoever took the pod.
        assert {outcome.status for outcome in outcomes} == {"succeeded" if code else "failed"}

    def note(_: Any, __: str, event: MutableMapping[str, Any]) -> Any:
        made[0].told.append(event["event"] % event.get("positional_args", ()))
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[note])
    try:
        run(main, counts_work=False)
    finally:
        structlog.configure(processors=before)
    return made[0]


WORDS = ["| begins", *(f"| saving, part {part}" for part in range(1, PARTS + 1))]


async def evict_all(play: Play) -> None:
    await asyncio.sleep(20)
    for pod in play.running():
        play.cluster.kai.reclaim(pod)
    await asyncio.sleep(20)


@pytest.mark.parametrize("get_logs", ["tail", "follow"])
def test_the_last_words_of_an_evicted_pod_are_shown_once(
    monkeypatch: pytest.MonkeyPatch, get_logs: str
) -> None:
    play = played(monkeypatch, get_logs, ["train"], evict_all)
    first = ["log of train, incarnation 1 on node-0:", *WORDS]
    assert play.told[: len(first)] == first
    # A success is the worker's to show, or not.
    second = ["log of train, incarnation 2 on node-0:", "| begins"]
    assert play.told[len(first) :] == (second if get_logs == "follow" else [])
    assert play.cluster.server.logs.open == 0


def test_the_last_words_of_what_was_taken_and_exits_with_0_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play = played(monkeypatch, "tail", ["train"], evict_all, code=0)
    assert play.told == ["log of train, incarnation 1 on node-0:", *WORDS]


@pytest.mark.parametrize("get_logs", ["tail", "follow"])
def test_a_stream_that_is_given_up_for_want_of_memory_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, get_logs: str
) -> None:
    async def story(play: Play) -> None:
        await asyncio.sleep(20)
        (pod,) = play.running()
        play.cluster.kai.reclaim(pod)
        await asyncio.sleep(1.2)
        fetches = one_per_loop(LogFetches)
        fetches.hold(HELD_CHARACTERS)
        await asyncio.sleep(3)
        assert play.cluster.server.logs.open == 0
        fetches.hold(-HELD_CHARACTERS)
        await asyncio.sleep(30)

    play = played(monkeypatch, get_logs, ["train"], story, grace=10.0)
    first = ["log of train, incarnation 1 on node-0:", *WORDS]
    assert play.told[: len(first)] == first


@pytest.mark.slow
def test_waits_that_only_tail_open_a_stream_when_something_leaves_and_not_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"train-{number}" for number in range(LISTENERS + 20)]
    before: list[tuple[int, int]] = []

    async def story(play: Play) -> None:
        await asyncio.sleep(15)
        assert len(play.running()) == len(names)
        logs = play.cluster.server.logs
        before.append((logs.most, play.logs_asked))
        await evict_all(play)

    play = played(monkeypatch, "tail", names, story, grace=10.0)
    assert before == [(0, 0)]
    assert play.cluster.server.logs.most == LISTENERS
    shown = [*play.told, *(line for rest in play.rests for line in rest["kept"])]
    left_out = sum(rest["left_out"] for rest in play.rests)
    assert left_out == 0
    counts = [shown.count(line) for line in WORDS]
    assert counts[0] == len(names), "each incarnation that was taken begins"
    assert LISTENERS <= counts[-1] <= len(names)
    assert max(counts) <= len(names), "no line is shown twice"


@pytest.mark.parametrize("get_logs", ["tail", "follow"])
def test_the_last_words_of_a_member_that_failed_follow_those_of_the_master_once(
    monkeypatch: pytest.MonkeyPatch, get_logs: str
) -> None:
    names: list[str] = []

    async def story(play: Play) -> None:
        await asyncio.sleep(8)
        names.extend(pod["metadata"]["name"] for pod in play.running())
        for pod in play.running():
            texts = [f"step {number}" for number in range(30)]
            for text in [*texts, f"{pod['metadata']['name']} says"]:
                play.say(pod, text)
        await asyncio.sleep(40)

    play = played(monkeypatch, get_logs, ["train"], story, kind=GangPlay)
    (master,), (failed,) = (
        [name for name in names if part in name] for part in ("-master-0", "-worker-1")
    )
    where = f"log of train, incarnation 1, pod {failed} on node-0:"
    begin = play.told.index(where)
    steps = [f"| step {number}" for number in range(11, 30)]
    assert play.told[begin + 1 : begin + 21] == [*steps, f"| {failed} says"]
    assert play.told.count(where) == play.told.count(f"| {master} says") == 1
    assert not any("-worker-0" in line for line in play.told), "it was only removed"

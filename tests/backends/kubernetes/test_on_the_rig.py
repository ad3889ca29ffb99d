"""The same flows against a real API server, with its own words, restarts and lost histories."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from airflow_runai.backends import access, drivers
from airflow_runai.backends.access import ClusterAccess
from airflow_runai.backends.kubernetes.api import rights, writes
from airflow_runai.backends.kubernetes.api.lists import read_all
from airflow_runai.backends.kubernetes.api.paths import JOBS, PODS, QUEUES, ResourceKind, discover
from airflow_runai.backends.kubernetes.api.rights import Right
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.kubernetes.logs.pod_log import PodLog, follow, tail
from airflow_runai.backends.kubernetes.trainings.evidence import events_about, writers
from airflow_runai.backends.kubernetes.watching.bells import Bells
from airflow_runai.backends.kubernetes.watching.reflector import Reflector
from airflow_runai.core.flow import Flow, Request, Wait
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.log_cursor import LogCursor, LogLine
from airflow_runai.core.log_reader import LogQuery
from airflow_runai.errors import (
    AlreadyExists,
    Forbidden,
    KindMissing,
    NotFound,
    NotResolved,
    QuotaExceeded,
    Refused,
    Unauthorized,
)
from airflow_runai.hooks import kubernetes as hook
from tests.rig import faults
from tests.rig.cluster import Cluster, Options
from tests.rig.waiting import until
from tests.support.waiting import eventually, wait_until

pytestmark = [pytest.mark.rig, pytest.mark.slow]
T = TypeVar("T")
TEAM = "team-a"
HERE = JOBS.collection(TEAM)
SELECTOR = [("labelSelector", "app.kubernetes.io/managed-by=airflow-runai")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(Options(kai=False, jobset=False, kueue=False)) as cluster:
        yield cluster


def known(cluster: Cluster, user: str = "airflow") -> ClusterAccess:
    config = yaml.safe_load(cluster.kubeconfig(user).read_text())
    server = config["clusters"][0]["cluster"]
    token = config["users"][0]["user"]["token"]
    ca = access.read_certificates(server["certificate-authority"])
    return ClusterAccess(server["server"], f"Bearer {token}", ca)


def ask(cluster: Cluster, flow: Flow[T], user: str = "airflow") -> T:
    return ask_as(known(cluster, user), flow)


def ask_as(who: ClusterAccess, flow: Flow[T]) -> T:
    with access.client(who, lambda: who) as client:
        return drivers.run(flow, client)


def job(name: str, command: Sequence[str] = ("true",), suspend: bool = True, **spec: Any) -> Any:
    labels = {"app.kubernetes.io/managed-by": "airflow-runai"}
    container = {"name": "main", "image": "registry.example/train:1", "command": list(command)}
    pod = {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": JOBS.api_version,
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"suspend": suspend, "backoffLimit": 0, "template": template, **spec},
    }


def uid_of(found: Mapping[str, Any]) -> str:
    return str(found["metadata"]["uid"])


def test_a_job_is_created_once_changed_and_deleted_for_good(cluster: Cluster) -> None:
    path = JOBS.object(TEAM, "once")
    rehearsed = ask(cluster, writes.create(HERE, job("once"), dry_run=True))
    with pytest.raises(NotFound):
        ask(cluster, writes.read(path))
    made = ask(cluster, writes.create(HERE, job("once")))
    assert uid_of(made.object) != uid_of(rehearsed.object)
    with pytest.raises(AlreadyExists):
        ask(cluster, writes.create(HERE, job("once")))
    uid = uid_of(made.object)
    patch = {"metadata": {"annotations": {"note": "1"}}, "spec": {"backoffLimit": 3}}
    changed = ask(cluster, writes.change(path, uid, lambda found: patch))
    assert changed["spec"]["backoffLimit"] == 3
    with pytest.raises(NotFound, match="another object has this name"):
        ask(cluster, writes.change(path, "another-uid", lambda found: patch))
    assert not ask(cluster, writes.delete(path, "another-uid"))
    assert ask(cluster, writes.delete(path, uid))
    wait_until(lambda: cluster.api.find(path) is None)
    assert not ask(cluster, writes.delete(path, uid))
    with pytest.raises(NotFound):
        ask(cluster, writes.read(path, uid))


def test_a_change_reaches_its_end_though_somebody_else_writes_too(cluster: Cluster) -> None:
    path = JOBS.object(TEAM, "busy")
    uid = uid_of(ask(cluster, writes.create(HERE, job("busy"))).object)
    tries = 0

    def decide(found: Mapping[str, Any]) -> Any:
        nonlocal tries
        tries += 1
        if tries < 3:  # somebody is faster
            cluster.api.merge(path, {"metadata": {"annotations": {"other": str(tries)}}})
        return {"metadata": {"annotations": {"mine": "1"}}}

    changed = ask(cluster, writes.change(path, uid, decide))
    assert changed["metadata"]["annotations"] == {"other": "2", "mine": "1"}


def test_the_servers_own_words_become_our_errors(cluster: Cluster) -> None:
    def fails(kind: type[Exception], words: str, flow: Flow[Any], user: str = "airflow") -> None:
        with pytest.raises(kind, match=words) as caught:
            ask(cluster, flow, user)
        assert type(caught.value) is kind

    typo = job("typo", backofLimit=1)
    fails(Refused, r"spec\.backofLimit: unknown field", writes.create(HERE, typo))
    wrong = job("wrong", backoffLimit=-1, completions=-1)
    fails(Refused, r"(?s)spec\.backoffLimit: Invalid.*", writes.create(HERE, wrong))
    nowhere = writes.create(JOBS.collection("nosuch"), job("x"))
    fails(NotResolved, 'namespaces "nosuch" not found', nowhere, "admin")
    things = ResourceKind("nosuch.io", "v1", "things")
    fails(KindMissing, "404", read_all(things.collection(TEAM), [], uid_of), "admin")
    fails(KindMissing, "404", read_all(QUEUES.collection(None), [], uid_of), "admin")
    odd = ResourceKind("batch", "v1", "nosuch")
    fails(KindMissing, "404", read_all(odd.collection(TEAM), [], uid_of), "admin")
    with pytest.raises(Unauthorized, match="may have expired"):
        ask_as(ClusterAccess(known(cluster).host, "Bearer wrong", known(cluster).ca), discover())
    for flow in (discover(), read_all(HERE, [], uid_of)):
        with pytest.raises(Unauthorized, match="no credentials arrived"):
            ask_as(ClusterAccess(known(cluster).host, "", known(cluster).ca), flow)
    with faults.full(cluster, TEAM, {"count/jobs.batch": "0"}):
        fails(QuotaExceeded, "count/jobs.batch=0", writes.create(HERE, job("too-many")))


def test_a_refusal_names_the_right_that_is_missing(cluster: Cluster) -> None:
    def once() -> Flow[None]:
        request = Request("GET", PODS.collection(TEAM))
        accept(request, (yield request))

    with pytest.raises(Forbidden, match="let blind list pods in namespace team-a"):
        ask(cluster, once(), "blind")


NEEDED = [Right(JOBS, ("get", "create")), Right(PODS, ("get", "list", "watch"))]


@pytest.mark.parametrize(
    ("user", "lacking"),
    [
        ("airflow", []),
        ("admin", []),
        ("blind", ["get, list, watch pods"]),
        ("nothing", ["get, create jobs of API group batch", "get, list, watch pods"]),
    ],
)
def test_missing_rights_are_known_before_the_first_call(
    cluster: Cluster, user: str, lacking: list[str]
) -> None:
    assert [str(right) for right in ask(cluster, rights.missing(TEAM, NEEDED), user)] == lacking


def test_the_stock_connection_leads_there_and_a_rotated_token_is_read_anew(
    cluster: Cluster, tmp_path: Path
) -> None:
    config = yaml.safe_load(cluster.kubeconfig("airflow").read_text())
    user, token = config["users"][0]["user"], tmp_path / "token"
    good = user.pop("token")
    token.write_text("no longer valid")
    user["tokenFile"] = str(token)
    obtain = hook.obtaining("rig", {"kube_config": yaml.safe_dump(config)})
    who = obtain()
    token.write_text(good + "\n")
    with access.client(who, obtain) as client:
        assert drivers.run(discover(), client).serves(JOBS)
        assert drivers.run(rights.missing(TEAM, NEEDED), client) == ()


def test_discovery_knows_what_is_installed(cluster: Cluster) -> None:
    found = ask(cluster, discover(), "nothing")
    assert found.serves(JOBS)
    assert not found.serves(QUEUES)
    assert found.dialect == "plain"


def test_a_log_is_followed_to_its_last_words(cluster: Cluster, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    script = (
        f"for n in 1 2 3 4 5; do echo line $n; sleep 0.1; done; "
        f"while [ ! -e {go_on} ]; do sleep 0.05; done; printf end"
    )
    made = ask(cluster, writes.create(HERE, job("speaks", ["sh", "-c", script], suspend=False)))
    pods = PODS.collection(TEAM)
    mine = {"labelSelector": f"batch.kubernetes.io/controller-uid={uid_of(made.object)}"}

    def started() -> Any:
        found = cluster.api.get(pods, **mine)["items"]
        return [pod for pod in found if pod["status"]["phase"] != "Pending"]

    (pod,) = wait_until(started)
    log = PodLog(TEAM, pod["metadata"]["name"], uid_of(pod), "main")
    seen: list[LogLine] = []

    def take(line: LogLine) -> Flow[None]:
        yield from ()
        seen.append(line)

    assert ask(cluster, writers(TEAM, uid_of(made.object))) == 1
    go_on.touch()
    cursor = ask(cluster, follow(log, LogCursor(log.uid), take))
    assert [line.text for line in seen] == [*(f"line {n}" for n in range(1, 6)), "end"]
    assert not any(line.has_gap for line in seen)
    rest: list[LogLine] = []

    def take_rest(line: LogLine) -> Flow[None]:
        yield from ()
        rest.append(line)

    assert ask(cluster, follow(log, seen[2].cursor, take_rest)) == cursor
    assert [line.text for line in rest] == ["line 4", "line 5", "end"]
    two = LogQuery(tail=2)
    assert [line.text for line in ask(cluster, tail(log, two)).lines] == ["line 5", "end"]
    wait_until(lambda: ask(cluster, writers(TEAM, uid_of(made.object))) == 0)
    words = ask(cluster, events_about(TEAM, "Job", uid=uid_of(made.object)))
    assert "SuccessfulCreate" in {event["reason"] for event in words}
    with pytest.raises(NotFound):
        ask(cluster, tail(PodLog(TEAM, "nosuch", "", "main"), two))


class Ends:
    """Waits for the ends of many Jobs, as a triggerer does, beside whatever happens."""

    def __init__(self, cluster: Cluster, names: Sequence[str]) -> None:
        self.cluster, self.names = cluster, names
        self.bells = Bells()
        self.facts = Mirror()
        self.reflector = Reflector("Job", HERE, SELECTOR, self.facts, self.bells)
        self.seen: set[str] = set()
        self.lists = 0

    def waiting(self, uid: str) -> Flow[None]:
        with self.bells.bell(uid) as bell:
            while True:
                case = self.facts.case(uid)
                if case and case.training.now and case.training.now.is_suspended:
                    self.seen.add(uid)
                    return
                yield Wait(bell, 600.0)
                bell.still()

    async def run(self, uids: Sequence[str], disturb: threading.Thread) -> None:
        who = known(self.cluster)
        async with access.async_client(who, lambda: who) as client:
            client.event_hooks["request"].append(self._count)
            watching = asyncio.create_task(drivers.arun(self.reflector.run(), client))
            waits = [asyncio.create_task(drivers.arun(self.waiting(u), client)) for u in uids]
            await eventually(lambda: self.reflector.is_watching, "the first watch")
            disturb.start()
            try:
                await eventually(lambda: len(self.seen) == len(uids), "all ends")
                # No watch goes on from before the restart, even if all ends came before it.
                await eventually(lambda: self.lists > 1, "the list after the 410")
            finally:
                for task in (watching, *waits):
                    task.cancel()
                await asyncio.to_thread(disturb.join)

    async def _count(self, request: Any) -> None:
        self.lists += "watch" not in request.url.params


@pytest.mark.parametrize("fault", ["restart", "expire"])
def test_forty_of_forty_ends_are_seen_while_the_api_server_restarts(
    cluster: Cluster, fault: str
) -> None:
    names = [f"{fault}-{number}" for number in range(40)]
    for name in names:
        cluster.api.create(HERE, job(name))
    found = cluster.api.get(HERE)["items"]
    uids = [uid_of(one) for one in found if one["metadata"]["name"] in names]
    ends = Ends(cluster, names)

    def end(name: str) -> None:
        path = JOBS.object(TEAM, name)
        # Something that a reflector notes; what it is does not matter here.
        suspended = {"spec": {"suspend": True}}
        until(lambda: cluster.api.merge(path, suspended), f"the end of {name}")

    def end_all() -> None:
        for name in names:
            end(name)

    def disturb() -> None:
        ending = threading.Thread(target=end_all)
        ending.start()
        if fault == "restart":
            cluster.restart("kube-apiserver")
        else:
            faults.expire_history(cluster)
        ending.join()

    asyncio.run(ends.run(uids, threading.Thread(target=disturb)))
    assert ends.seen == set(uids)
    assert ends.reflector.error is None


def test_without_the_right_to_watch_changes_are_seen_by_lists(cluster: Cluster) -> None:
    cluster.api.create(HERE, job("listed"))
    path = JOBS.object(TEAM, "listed")
    uid = uid_of(cluster.api.get(path))
    ends = Ends(cluster, ["listed"])
    ends.reflector.interval = 0.2
    who = known(cluster)

    async def main() -> None:
        async with access.async_client(who, lambda: who) as client:
            watching = asyncio.create_task(drivers.arun(ends.reflector.run(), client))
            await eventually(lambda: ends.facts.case(uid), "the list")
            cluster.api.merge(path, {"spec": {"suspend": True}})
            await drivers.arun(ends.waiting(uid), client)
            assert not ends.reflector.is_watching
            watching.cancel()

    with faults.without_rights(cluster, "airflow", TEAM, {"jobs": "watch"}):
        asyncio.run(main())
    assert ends.seen == {uid}

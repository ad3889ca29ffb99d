"""Each fault that the rig makes on order is the real one, as a client sees it, and ends when it should."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import httpx
import pytest

from tests.rig import faults, users
from tests.rig.api import Api, ApiError, Expired, Object
from tests.rig.cluster import Cluster, Options
from tests.rig.processes import NODE, marked
from tests.rig.waiting import until
from tests.rig.wire import Wire
from tests.support.patience import PATIENCE

pytestmark = [pytest.mark.rig, pytest.mark.slow]
JOBS = "/apis/batch/v1/namespaces/team-a/jobs"
PODS = "/api/v1/namespaces/team-a/pods"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(Options(kai=False)) as cluster:
        yield cluster


@pytest.fixture
def wire(cluster: Cluster) -> Iterator[Wire]:
    with Wire(cluster.site.ports["kube-apiserver"]) as wire:
        yield wire


def test_a_restarted_api_server_breaks_watches_and_knows_no_old_version(cluster: Cluster) -> None:
    airflow = cluster.user("airflow")
    version = airflow.get(JOBS)["metadata"]["resourceVersion"]
    watch = Watching(airflow)
    cluster.restart("kube-apiserver")
    assert isinstance(watch.end(), httpx.TransportError)
    with pytest.raises(Expired, match="too old resource version"):
        list(airflow.watch(JOBS, version))


def test_expired_history_answers_410_in_a_watch_a_list_and_its_continuation(
    cluster: Cluster,
) -> None:
    airflow = cluster.user("airflow")
    for number in range(3):
        cluster.api.create(JOBS, job(f"listed-{number}"))
    page = airflow.get(JOBS, limit="1")["metadata"]
    faults.expire_history(cluster)
    exact = {"resourceVersion": page["resourceVersion"], "resourceVersionMatch": "Exact"}
    assert refused(airflow, JOBS, **exact) == (410, "Expired")
    assert refused(airflow, JOBS, limit="1", **{"continue": page["continue"]}) == (410, "Expired")
    with pytest.raises(Expired):
        list(airflow.watch(JOBS, page["resourceVersion"]))


def test_rights_are_taken_away_and_given_back(cluster: Cluster) -> None:
    airflow = cluster.user("airflow")
    with faults.without_rights(
        cluster, "airflow", "team-a", {"pods": "list watch", "pods/log": "get"}
    ):
        assert refused(airflow, PODS) == (403, "Forbidden")
        assert refused(airflow, f"{PODS}/any/log") == (403, "Forbidden")
        assert airflow.get(JOBS)["kind"] == "JobList"
    until(lambda: airflow.get(PODS), "the rights given back")


def test_a_token_is_rotated_while_the_old_one_goes_out_of_use(cluster: Cluster) -> None:
    old, new = (users.issue(cluster.api) for _ in range(2))
    with_old, with_new = (cluster.api.with_token(token.text) for token in (old, new))
    assert with_old.get(JOBS)["kind"] == with_new.get(JOBS)["kind"] == "JobList"
    users.revoke(cluster.api, old)
    until(lambda: refused(with_old, JOBS) == (401, "Unauthorized"), "the end of the old token")
    assert with_new.get(JOBS)["kind"] == "JobList"
    assert refused(cluster.api.with_token("nobody-knows-it"), JOBS) == (401, "Unauthorized")
    assert refused(cluster.api.with_token(None), JOBS) == (403, "Forbidden")


def test_a_full_namespace_refuses_jobs_in_other_words_than_a_missing_right(
    cluster: Cluster,
) -> None:
    airflow = cluster.user("airflow")
    with (
        faults.full(cluster, "team-b", {"count/jobs.batch": "0"}),
        pytest.raises(ApiError, match=r"403 Forbidden .*exceeded quota"),
    ):
        airflow.create(JOBS.replace("team-a", "team-b"), job("too-many"))
    airflow.create(JOBS.replace("team-a", "team-b"), job("fits-again"))


def test_a_webhook_that_is_down_fails_every_creation_of_a_job_and_nothing_else(
    cluster: Cluster,
) -> None:
    airflow = cluster.user("airflow")
    cluster.stop_part("kueue")
    try:
        with pytest.raises(ApiError, match=r"500 InternalError .*failed calling webhook"):
            airflow.create(JOBS, job("unseen"))
        assert airflow.get(JOBS)["kind"] == "JobList"
    finally:
        cluster.start_part("kueue")
    airflow.create(JOBS, job("seen"))


def test_a_lost_node_takes_its_processes_with_it_and_tells_so_when_it_is_back(
    cluster: Cluster,
) -> None:
    cluster.api.create(JOBS, job("runs", ["sleep", "1000"], suspend=False))
    of_the_job = {"labelSelector": "job-name=runs"}
    until(lambda: phases(cluster, **of_the_job) == ["Running"], "the pod")
    home = cluster.folder / "nodes" / "node-0"
    assert len(marked(home, NODE)) > 1  # the kubelet, and what it runs
    cluster.lose_node("node-0")
    assert marked(home, NODE) == []
    assert phases(cluster, **of_the_job) == ["Running"]  # nobody has said anything else yet
    cluster.add_node("node-0")
    until(lambda: "Failed" in phases(cluster, **of_the_job), "what became of the pod")
    cluster.api.delete(f"{JOBS}/runs")


def test_a_cut_line_breaks_what_is_open_and_carries_what_is_new(
    cluster: Cluster, wire: Wire
) -> None:
    client = wire.client(cluster.user("airflow"))
    watch = Watching(client)
    wire.cut()
    assert isinstance(watch.end(), httpx.TransportError)
    assert client.get(JOBS)["kind"] == "JobList"


def test_a_half_open_line_is_silent_until_it_thaws(cluster: Cluster, wire: Wire) -> None:
    patient, hasty = (
        wire.client(cluster.user("airflow")),
        wire.client(cluster.user("airflow"), timeout=0.5),
    )
    until(lambda: hasty.get(JOBS)["kind"] == "JobList", "an answer in time")
    wire.freeze()
    with pytest.raises(httpx.ReadTimeout):
        hasty.get(JOBS)
    answers: list[Object] = []
    asking = threading.Thread(target=lambda: answers.append(patient.get(JOBS)))
    asking.start()
    wire.thaw()
    asking.join()
    assert [answer["kind"] for answer in answers] == ["JobList"]


def test_a_slow_line_holds_answers_back(cluster: Cluster, wire: Wire) -> None:
    client = wire.client(cluster.user("airflow"))
    client.get(JOBS)
    wire.slow(0.3)
    began = time.monotonic()
    client.get(JOBS)
    assert time.monotonic() - began >= 0.3  # a lower bound: no busy machine breaks it


def test_a_line_that_refuses_takes_nobody_until_it_accepts_again(
    cluster: Cluster, wire: Wire
) -> None:
    client = wire.client(cluster.user("airflow"))
    wire.refuse()
    with pytest.raises(httpx.ConnectError):
        client.get(JOBS)
    wire.accept()
    assert client.get(JOBS)["kind"] == "JobList"


def job(name: str, command: Sequence[str] = ("true",), suspend: bool = True) -> Object:
    container = {"name": "main", "image": "registry.example/train:1", "command": list(command)}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"metadata": {"name": name}, "spec": {"suspend": suspend, "template": template}}


def phases(cluster: Cluster, **selector: str) -> list[str]:
    return [pod["status"]["phase"] for pod in cluster.api.get(PODS, **selector)["items"]]


def refused(api: Api, path: str, **params: str) -> tuple[int, str]:
    try:
        api.get(path, **params)
    except ApiError as error:
        return error.status, error.reason
    return 200, ""


class Watching:
    """A watch in a thread of its own, open once this exists."""

    def __init__(self, api: Api) -> None:
        self._error: Exception | None = None
        self._open = threading.Event()
        version = api.get(JOBS)["metadata"]["resourceVersion"]
        self._thread = threading.Thread(target=self._follow, args=(api, version), daemon=True)
        self._thread.start()
        api.create(JOBS, job(f"shows-that-the-watch-is-open-{time.monotonic_ns()}"))
        assert self._open.wait(PATIENCE)

    def end(self) -> Exception | None:
        """
        Wait until the watch is over; return how: None means that the server ended it in order.
        """
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self._error

    def _follow(self, api: Api, version: str) -> None:
        try:
            for _ in api.watch(JOBS, version):
                self._open.set()
        except (httpx.HTTPError, Expired) as error:
            self._error = error

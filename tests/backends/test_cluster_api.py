"""The Cluster API: where it is, what is asked, and what a server may do to us."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from airflow_runai.backends import cluster_api, drivers
from airflow_runai.backends.cluster_api import MAX_BYTES, Clusters
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.workload_logs import WorkloadLog
from airflow_runai.core.flow import Flow
from airflow_runai.core.log_lines import LogPosition
from airflow_runai.core.log_reader import LogPart, LogQuery, LogText
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator, EmulatorSettings, Scenario, serve
from airflow_runai.emulator.records import Pod
from airflow_runai.errors import (
    ConnectionSettingsError,
    Forbidden,
    NotFound,
    NotResolved,
    Refused,
    RunaiError,
    Unreachable,
    Unreadable,
)
from tests.airflow.running import Person
from tests.support.waiting import wait_until

SETTINGS = Settings("https://org.run.ai", "id", "secret")
WORKLOAD = Workload("w-1", "train-g1", "Running", "4501", "c-1", "Training")
LOG = "https://c.example/cluster-api/api/v1/team-a/workloads/training/runai/train-g1/logs/download"
Handler = Callable[[httpx.Request], httpx.Response]


def text_of(query: LogQuery, handler: Handler) -> LogText:
    found: LogText = answered(cluster_api.download(LOG, query), handler)
    return found


def answered(flow: Flow[Any], handler: Handler) -> Any:
    transport = httpx.MockTransport(handler)
    with httpx.Client(transport=transport, base_url="https://org.run.ai/") as client:
        return drivers.run(flow, client)


def organization(domain: object) -> Handler:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/clusters":
            return httpx.Response(200, json=[{"uuid": "c-1", "name": "c", "domain": domain}])
        assert request.url.path == "/api/v1/org-unit/projects/4501"
        return httpx.Response(200, json={"id": "4501", "name": "team-a", "clusterId": "c-1"})

    return answer


@pytest.mark.parametrize("domain", ["c.example", "https://c.example", "https://c.example/"])
def test_the_address_is_the_clusters_domain(domain: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return organization(domain)(request)

    clusters = Clusters(SETTINGS)
    assert answered(cluster_api.log_address(clusters, WORKLOAD), answer) == LOG
    assert answered(cluster_api.log_address(clusters, WORKLOAD), answer) == LOG
    assert len(asked) == 2, "asked once for the cluster, and once for the project"


@pytest.mark.parametrize("missing", ["/api/v1/clusters", "/api/v1/org-unit/projects/4501"])
def test_a_control_plane_without_the_call_does_not_mean_that_the_log_is_gone(missing: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        gone = request.url.path == missing
        return httpx.Response(404, json={}) if gone else organization("c.example")(request)

    with pytest.raises(NotResolved, match=f"GET {missing}"):
        answered(cluster_api.log_address(Clusters(SETTINGS), WORKLOAD), answer)


@pytest.mark.parametrize("url", ["https://c.example", "https://c.example/cluster-api/"])
def test_the_connection_may_name_another_address(url: str) -> None:
    clusters = Clusters(dataclasses.replace(SETTINGS, cluster_url=url))
    assert answered(cluster_api.log_address(clusters, WORKLOAD), organization("x")) == LOG


@pytest.mark.parametrize(
    "domain", [None, "", "http://c.example", "https://user@c.example", "ftp://c", "https://"]
)
def test_no_token_goes_where_it_could_be_read(domain: object) -> None:
    with pytest.raises(NotResolved, match="set cluster_url in the connection"):
        answered(cluster_api.log_address(Clusters(SETTINGS), WORKLOAD), organization(domain))


@pytest.mark.parametrize("url", ["c.example", "http://c.example", "https://u:geheim@c.example"])
def test_a_wrong_cluster_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ConnectionSettingsError, match=r"cluster_url: .*; allowed: .*https") as no:
        dataclasses.replace(SETTINGS, cluster_url=url)
    assert "geheim" not in str(no.value)


def test_a_distributed_training_has_its_framework_in_the_path() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/workloads/distributed/w-1":
            return httpx.Response(200, json={"spec": {"distributedFramework": "MPI"}})
        return organization("c.example")(request)

    workload = dataclasses.replace(WORKLOAD, kind="Distributed")
    address = answered(cluster_api.log_address(Clusters(SETTINGS), workload), answer)
    assert "/workloads/distributed/mpi/train-g1/" in address


def test_only_what_is_asked_for_is_in_the_query() -> None:
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        return httpx.Response(200, text="")

    text_of(LogQuery(), answer)
    text_of(LogQuery(tail=5, since=60, pod="p", container="c", previous=True), answer)
    assert asked[0] == {}
    assert asked[1] == {
        "pod": "p",
        "container": "c",
        "previous": "true",
        "tail": "5",
        "since": "60s",
    }


def test_a_server_that_ignores_the_query_is_survived() -> None:
    text = "".join(f"line {number}\n" for number in range(500))
    found = text_of(LogQuery(tail=3), lambda _: httpx.Response(200, text=text))
    assert found == LogText(("line 497", "line 498", "line 499"), is_whole=False)


def test_it_is_known_whether_a_log_is_seen_from_its_beginning() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="a\nb\nc")

    whole = [text_of(LogQuery(tail=tail), answer).is_whole for tail in (None, 4, 3, 2, 0)]
    assert whole == [True, True, False, False, False]
    assert not text_of(LogQuery(since=60), answer).is_whole


def test_a_server_that_refuses_what_only_cuts_is_asked_without_it() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        if "tail" in request.url.params:
            return httpx.Response(400, json={"message": "unknown parameter"})
        return httpx.Response(200, text="a\nb\nc")

    assert text_of(LogQuery(tail=2, pod="p"), answer).lines == ("b", "c")
    assert asked == ["pod=p&tail=2", "pod=p"]
    with pytest.raises(Refused):
        answered(
            cluster_api.download(LOG, LogQuery(pod="p")),
            lambda _: httpx.Response(400, json={"message": "unknown pod"}),
        )


def test_of_a_large_log_the_end_is_kept_and_a_larger_one_is_refused() -> None:
    large = b"x" * 100 + b"\n" + b"0123456789abcde\n" * (MAX_BYTES // 8)
    found = text_of(LogQuery(), lambda _: httpx.Response(200, content=large))
    assert set(found.lines) == {"0123456789abcde"}
    assert (len(found.lines), found.is_whole) == (MAX_BYTES // 16 - 1, False)
    with pytest.raises(Unreadable, match="longer than"):
        answered(
            cluster_api.download(LOG, LogQuery()),
            lambda _: httpx.Response(200, content=b"x" * 17 * 1024 * 1024),
        )


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"])
def test_of_a_progress_bar_that_fills_all_that_is_kept_the_last_state_is_shown(
    ending: bytes,
) -> None:
    bar = b"".join(b"\r%6d/999999 loss 0.1" % step for step in range(MAX_BYTES // 20)) + ending
    (line,) = text_of(LogQuery(tail=5), lambda _: httpx.Response(200, content=bar)).lines
    assert line == f"{MAX_BYTES // 20 - 1:6d}/999999 loss 0.1"


def test_of_one_line_without_an_end_nothing_is_shown_but_its_size() -> None:
    """What is left of it may begin with the rest of a secret."""
    found = text_of(LogQuery(), lambda _: httpx.Response(200, content=b"x" * 2 * MAX_BYTES))
    assert found.lines == ("(one line of more than 524288 bytes)",)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(200, html="<h1>Sign in</h1>"), Unreadable),
        (
            httpx.Response(200, headers={"content-type": "application/zip"}, content=b"PK\3\4"),
            Unreadable,
        ),
        (httpx.Response(302, headers={"location": "https://evil.example"}), Unreachable),
        (httpx.Response(403, json={"message": "no"}), Forbidden),
        (httpx.Response(404, json={"message": "no such pod"}), NotFound),
        (httpx.Response(404, text="404 page not found"), NotFound),
        (httpx.Response(404, html="<h1>nginx</h1>"), Unreadable),
        (httpx.Response(500, text="oops"), Unreachable),
        (httpx.Response(204), None),
    ],
    ids=lambda value: getattr(value, "status_code", ""),
)
def test_what_is_no_log_is_an_error(
    response: httpx.Response, error: type[RunaiError] | None
) -> None:
    flow = cluster_api.download(LOG, LogQuery(tail=5))
    if error is None:
        assert answered(flow, lambda _: response) == LogText((), is_whole=True)
        return
    with pytest.raises(error):
        answered(flow, lambda _: response)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    quick = EmulatorSettings(initializing_seconds=0.0, backoff_seconds=0.0, grace=2)
    with serve(dataclasses.replace(quick, scenarios={"mute": Scenario(run_seconds=None)})) as runs:
        yield runs


def talking(emulator: Emulator, command: str, words: str, **spec: Any) -> Workload:
    workload = Person(emulator).submit("team-a", "talks", gpus=1, command=command, **spec)
    wait_until(lambda: words in emulator.log("talks"), words)
    return workload


def ran(pod: Pod) -> float:
    assert pod.started_at is not None
    return pod.started_at


def test_a_cluster_says_that_it_is_there(emulator: Emulator) -> None:
    person = Person(emulator)
    clusters = Clusters(person.settings)
    person.do(cluster_api.status(clusters, emulator.world.clusters[0].id))
    emulator.faults.add("replace", path="/cluster-api/*", fields=["status"], text="STARTING")
    with pytest.raises(Unreadable, match="does not answer OK"):
        person.do(cluster_api.status(clusters, emulator.world.clusters[0].id))


def test_secrets_are_masked_and_the_node_is_known(emulator: Emulator) -> None:
    secret = "hf_abcdefghijklmnop"
    variables = [
        {"name": "HF_TOKEN", "value": secret},
        {"name": "EPOCHS", "value": "30"},
        {"name": "KEY_PEM_SECRET", "value": "first-line-of-it\nsecond-line-of-it"},
    ]
    command = "sh -c 'echo $HF_TOKEN for $EPOCHS; echo \"$KEY_PEM_SECRET\"; echo airflow-local; echo end; sleep 99'"
    workload = talking(emulator, command, "end", environmentVariables=variables)
    person = Person(emulator)
    part: LogPart = person.do(WorkloadLog(workload, Clusters(person.settings)).look(1e10))
    assert part.lines == ("*** for 30", "***", "***", "***", "end")
    assert part.node in ("node-1", "node-2")
    assert part.end == part.lines
    assert part.as_sentences("log of talks") == [
        f"log of talks on {part.node}:",
        *("| *** for 30", "| ***", "| ***", "| ***", "| end"),
    ]


def test_a_second_look_shows_what_is_new(emulator: Emulator) -> None:
    workload = talking(emulator, "sh -c 'echo one; echo two; sleep 99'", "two")
    person = Person(emulator)
    log = WorkloadLog(workload, Clusters(person.settings))
    first: LogPart = person.do(log.look(1e10, LogPosition()))
    again: LogPart = person.do(log.look(1e10, first.place))
    assert (first.lines, again.lines, again.has_gap) == (("one", "two"), (), False)
    assert again.as_sentences("log of talks") == []
    assert again.end == ("one", "two")


@pytest.mark.slow
def test_of_an_incarnation_that_is_over_only_its_own_pod_is_asked(
    emulator: Emulator, tmp_path: Any
) -> None:
    mark = tmp_path / "mark"
    once = f"sh -c 'test -e {mark} && echo again && exec sleep 99; touch {mark}; echo bang; exit 3'"
    workload = talking(emulator, once, "again")
    person = Person(emulator)
    crashed = emulator.workloads_named("talks")[0].pods[0]
    log = WorkloadLog(workload, Clusters(person.settings))
    assert person.do(log.read(ran(crashed), late=True)).lines == ("bang",)
    emulator.preempt("talks")
    wait_until(lambda: emulator.workloads_named("talks")[0].incarnation == 3, "resumed")
    preempted = emulator.workloads_named("talks")[0].pods[1]
    with pytest.raises(NotFound, match="gone"):
        person.do(log.read(ran(preempted), late=True))

"""The Cluster API: logs that go with their pod."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, serve
from tests.emulator.conftest import Client
from tests.support.waiting import wait_until

TALKS = "sh -c 'echo one; echo two; sleep 100'"


def path(name: str, kind: str = "training/runai", project: str = "team-a") -> str:
    return f"/cluster-api/api/v1/{project}/workloads/{kind}/{name}/logs/download"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    quick = EmulatorSettings(initializing_seconds=0.0, backoff_seconds=0.0, grace=60)
    with serve(quick) as running:
        yield running


@pytest.fixture
def client(emulator: Emulator) -> Client:
    return Client(emulator)


def log(client: Client, name: str, **query: str) -> httpx.Response:
    return client.http.get(path(name), params=query)


def until_said(client: Client, name: str, words: str) -> None:
    wait_until(lambda: words in log(client, name).text, words)


def test_the_list_of_clusters_says_where_the_cluster_api_is(client: Client) -> None:
    (cluster,) = client.http.get("/api/v1/clusters").json()
    assert cluster["domain"] == client.emulator.url
    token = {"Authorization": client.http.headers["Authorization"]}
    assert "OK" in httpx.get(f"{cluster['domain']}/cluster-api/status", headers=token).text
    assert httpx.get(f"{cluster['domain']}/cluster-api/status").status_code == 401
    assert httpx.get(cluster["domain"] + path("any")).status_code == 401


def test_a_running_workload_has_a_log_that_can_be_cut(client: Client) -> None:
    client.create("talks", command=TALKS)
    until_said(client, "talks", "two")
    whole = log(client, "talks")
    assert (whole.status_code, whole.text) == (200, "one\ntwo\n")
    assert whole.headers["content-type"].startswith("text/plain")
    assert log(client, "talks", tail="1").text == "two\n"
    assert log(client, "talks", tail="0").text == ""
    assert log(client, "talks", limitBytes="5").text == "one\nt"
    assert log(client, "talks", since="5m", unheard="of").text == whole.text
    assert log(client, "talks", pod="talks-0-0", container="talks").text == whole.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"tail": "-1"}, 400),
        ({"since": "yesterday"}, 400),
        ({"container": "other"}, 400),
        ({"pod": "other"}, 404),
        ({"previous": "true"}, 404),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(
    client: Client, query: dict[str, str], status: int
) -> None:
    client.create("talks", command=TALKS)
    until_said(client, "talks", "two")
    assert log(client, "talks", **query).status_code == status


def test_type_framework_and_project_must_be_right(client: Client) -> None:
    client.create("talks", command=TALKS)
    until_said(client, "talks", "two")
    for wrong in (
        path("talks", "distributed/pytorch"),
        path("talks", "training/other"),
        path("talks", project="team-b"),
        path("other"),
    ):
        assert client.http.get(wrong).status_code == 404


def test_the_log_of_a_preempted_incarnation_goes_with_its_pod(
    client: Client, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    saves = f"echo saving; until test -e {seen}; do sleep 0.05; done; exit 1"
    client.create("leaves", command=f"sh -c 'trap \"{saves}\" TERM; echo up; sleep 100 & wait'")
    until_said(client, "leaves", "up")
    client.emulator.preempt("leaves")
    until_said(client, "leaves", "saving")
    seen.touch()
    wait_until(lambda: client.emulator.workloads_named("leaves")[0].incarnation == 2, "resumed")
    until_said(client, "leaves", "up")
    assert "saving" not in log(client, "leaves").text
    assert log(client, "leaves", previous="true").status_code == 404
    assert "saving" in client.emulator.log("leaves", 1), "the emulator itself keeps it"


def test_the_log_of_a_crashed_incarnation_stays(client: Client, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    once = (
        f"sh -c 'test -e {mark} && echo again && exec sleep 100; touch {mark}; echo bang; exit 3'"
    )
    client.create("crashes", command=once)
    until_said(client, "crashes", "again")
    assert log(client, "crashes", previous="true").text == "bang\n"
    assert log(client, "crashes", pod="crashes-0-0").text == "bang\n"


def test_a_fault_spoils_it(client: Client) -> None:
    client.create("talks", command=TALKS)
    until_said(client, "talks", "two")
    client.emulator.faults.add("status", path="/cluster-api/*", status=403)
    assert log(client, "talks").status_code == 403
    assert log(client, "talks").status_code == 200

"""
The emulator's own page over HTTP: its access rules and its data.

How it looks: end_to_end/test_pages.py.
"""

from __future__ import annotations

import re
from itertools import pairwise

import httpx
import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, SteppedClock, serve
from tests.emulator.conftest import Client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", ["/", "/workloads?search=train", "/workloads/train-1"])
def test_page_is_open_but_empty(stepped: Emulator, path: str) -> None:
    page = httpx.get(stepped.url + path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert stepped.client_secret not in page.text
    assert "access-control-allow-origin" not in page.headers
    assert "set-cookie" not in page.headers


def test_page_runs_nothing_but_its_own_script_and_cannot_be_framed(stepped: Emulator) -> None:
    page = httpx.get(stepped.url)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert len(re.findall("'sha256-", policy)) == 2
    assert page.headers["x-frame-options"] == "DENY"


def test_page_loads_nothing_from_elsewhere_and_writes_no_markup(stepped: Emulator) -> None:
    text = httpx.get(stepped.url).text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)
    for dangerous in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "document.cookie",
    ):
        assert dangerous not in text


@pytest.mark.parametrize("path", ["/_emulator/overview", "/_emulator/workloads/train-1/story"])
def test_data_needs_a_token(stepped: Emulator, path: str) -> None:
    assert httpx.get(stepped.url + path).status_code == 401


@pytest.mark.parametrize("path", ["/", "/api/v1/token", "/_emulator/overview"])
@pytest.mark.parametrize(
    "host", ["rebound.example", "127.0.0.1.rebound.example:8710", "localhost.rebound.example"]
)
def test_foreign_host_name_is_misdirected(stepped: Emulator, path: str, host: str) -> None:
    answer = httpx.get(stepped.url + path, headers={"Host": host})
    assert answer.status_code == 421
    assert host in answer.json()["details"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8710", "runai:8710"]
)
def test_names_that_nobody_can_register_pass(stepped: Emulator, host: str) -> None:
    assert httpx.get(stepped.url, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "secret", "status"), [("0.0.0.0", "airflow-local", 421), ("0.0.0.0", "my-own", 200)]
)
def test_own_secret_opens_other_addresses_to_any_name(host: str, secret: str, status: int) -> None:
    with serve(EmulatorSettings(host=host, client_secret=secret, clock=SteppedClock())) as emulator:
        assert httpx.get(emulator.url, headers={"Host": "runai.example.com"}).status_code == status


def test_loopback_of_version_six_is_guarded_too() -> None:
    try:
        running = serve(EmulatorSettings(host="::1", client_secret="my-own", clock=SteppedClock()))
        with running as emulator:
            assert httpx.get(emulator.url).status_code == 200
            assert httpx.get(emulator.url, headers={"Host": "rebound.example"}).status_code == 421
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_overview_says_who_occupies_which_gpu(stepped: Emulator, steps: Client) -> None:
    steps.create("endless-1", gpus=1)
    stepped.advance(5)
    seen = steps.get("/_emulator/overview")
    nodes = seen["clusters"][0]["nodes"]
    assert [node["name"] for node in nodes] == ["node-1", "node-2"]
    occupied = [gpu for node in nodes for gpu in node["gpus"] if gpu]
    assert [(mark["name"], mark["project"], mark["share"]) for [mark] in occupied] == [
        ("endless-1", "team-a", 1.0)
    ]


def test_overview_counts_what_a_project_borrows_and_who_waits(
    stepped: Emulator, steps: Client
) -> None:
    for number in range(3):
        steps.create(f"endless-{number}", gpus=2)
    stepped.advance(5)
    team = steps.get("/_emulator/overview")["projects"][0]
    assert (team["quota"], team["limit"], team["used"], team["over_quota"], team["waiting"]) == (
        2,
        None,
        4,
        2,
        1,
    )


def test_preempted_workload_shows_its_bars_and_the_words(stepped: Emulator, steps: Client) -> None:
    steps.create("endless-1", gpus=2)
    stepped.advance(10)
    stepped.preempt("endless-1")
    stepped.advance(20)
    [seen] = steps.get("/_emulator/overview")["workloads"]
    kinds = [bar["kind"] for bar in seen["bars"]]
    assert kinds[-1] == "running"
    assert "preempted" in kinds[kinds.index("running") :]
    words = {bar["message"] for bar in seen["bars"] if bar["kind"] == "preempted"}
    assert any("Preempted: node maintenance" in said for said in words)
    assert (seen["incarnation"], seen["interruptions"]) == (2, 1)
    bounds = [(bar["since"], bar["until"]) for bar in seen["bars"]]
    assert all(until == since for (_, until), (since, _) in pairwise(bounds))


@pytest.mark.parametrize(
    ("deed", "possible"), [("suspend", ["resume", "delete"]), (None, None), ("delete", [])]
)
def test_only_possible_actions_are_offered(
    stepped: Emulator, steps: Client, deed: str | None, possible: list[str] | None
) -> None:
    workload = steps.create("endless-1")
    stepped.advance(5)
    if deed == "delete":
        steps.http.delete(f"/api/v1/workloads/trainings/{workload}")
    elif deed:
        steps.post(f"/api/v1/workloads/trainings/{workload}/{deed}")
    stepped.advance(40)
    [seen] = steps.get("/_emulator/overview")["workloads"]
    assert seen["actions"] == (["preempt", "suspend", "delete"] if possible is None else possible)


def test_finished_workload_can_only_be_deleted_and_takes_no_more_time(
    stepped: Emulator, steps: Client
) -> None:
    steps.create("train-1")
    stepped.advance(500)
    [seen] = steps.get("/_emulator/overview")["workloads"]
    assert seen["actions"] == ["delete"]
    assert seen["interruptions"] == 0
    assert seen["bars"][-1]["until"] == pytest.approx(seen["ended_at"], abs=0.01)


def test_deleted_workload_keeps_its_story_and_a_new_one_of_its_name_wins(
    stepped: Emulator, steps: Client
) -> None:
    first = steps.create("endless-1")
    stepped.advance(5)
    steps.http.delete(f"/api/v1/workloads/trainings/{first}")
    stepped.advance(60)
    assert steps.get("/_emulator/workloads/endless-1/story")["workload"]["phase"] == "Deleted"
    second = steps.create("endless-1")
    assert steps.get("/_emulator/workloads/endless-1/story")["workload"]["id"] == second
    assert steps.get(f"/_emulator/workloads/{first}/story")["workload"]["id"] == first


def test_story_has_the_log_of_each_incarnation(emulator: Emulator, client: Client) -> None:
    workload = client.create("train-1", command="sh -c 'echo I am on $NODE_NAME; exec sleep 60'")
    wait_until(lambda: emulator.log("train-1"))
    emulator.preempt("train-1")
    wait_until(lambda: emulator.workloads_named("train-1")[0].incarnation == 2)
    client.wait_for(workload, "Running")
    seen = client.get("/_emulator/workloads/train-1/story", incarnation=1)
    assert [part["nodes"] for part in seen["incarnations"]] == [["node-1"], ["node-2"]]
    assert seen["incarnations"][0]["ended_at"] <= seen["incarnations"][1]["started_at"]
    assert "I am on node-1" in seen["log"]
    assert "Preempted" in {event["reason"] for event in seen["events"]}
    assert [line["phase"] for line in seen["history"]][-1] == "Creating"


def test_story_shows_only_the_end_of_a_long_log(emulator: Emulator, client: Client) -> None:
    workload = client.create("train-1", command="sh -c 'yes | head -c 90000; echo the end'")
    client.wait_for(workload, "Completed")
    seen = client.get("/_emulator/workloads/train-1/story")
    assert seen["log_is_cut"]
    assert len(seen["log"]) == 50_000
    assert seen["log"].endswith("the end\n")


def test_story_of_nobody_and_of_no_number_are_refused(stepped: Emulator, steps: Client) -> None:
    steps.create("endless-1")
    assert steps.http.get("/_emulator/workloads/who/story").status_code == 404
    refused = steps.http.get("/_emulator/workloads/endless-1/story?incarnation=two")
    assert refused.status_code == 400
    assert "'two'" in refused.json()["message"]


def test_hostile_text_travels_as_text(stepped: Emulator, steps: Client) -> None:
    evil = "<img src=x onerror=alert(1)>"
    steps.create("endless-1", image=evil, command=evil)
    answer = steps.http.get("/_emulator/workloads/endless-1/story")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["asked"]["image"] == evil


def test_looking_moves_no_clock_and_meets_no_fault(steps: Client, stepped: Emulator) -> None:
    stepped.faults.add("status", status=503)
    before = stepped.clock.now()
    assert steps.get("/_emulator/overview")["now"] == before == stepped.clock.now()

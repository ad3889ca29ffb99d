"""Faults on demand, over the wire and from Python."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from airflow_runai.emulator import Emulator
from airflow_runai.emulator.faults import HOSTILE_TEXT
from tests.support.waiting import wait_until

from .conftest import Client

pytestmark = pytest.mark.slow


def test_lost_reply_has_done_its_work(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("lose_reply", path="/api/v1/workloads/trainings", method="POST")
    with pytest.raises(httpx.RemoteProtocolError):
        steps.post("/api/v1/workloads/trainings", steps.body("once"))
    assert [workload.name for workload in stepped.workloads_named("once")] == ["once"]
    assert stepped.requests[-1].status == 0
    assert steps.get("/api/v1/workloads/count") == {"count": 1}


def test_stalled_reply_has_done_its_work(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("lose_reply", path="/api/v1/workloads/trainings", seconds=60)
    body = steps.body("once")
    with pytest.raises(httpx.ReadTimeout):
        steps.http.post("/api/v1/workloads/trainings", json=body, timeout=0.3)
    wait_until(lambda: stepped.workloads_named("once"))
    assert len(stepped.workloads_named("once")) == 1


def test_reset_has_done_nothing(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("reset", path="/api/v1/workloads/trainings")
    body = steps.body("never")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        steps.post("/api/v1/workloads/trainings", body)
    assert stepped.workloads_named("never") == []


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
def test_status_for_a_number_of_calls(stepped: Emulator, steps: Client, status: int) -> None:
    stepped.faults.add("status", path="/api/v1/workloads*", status=status, times=2, retry_after=7)
    answers = [steps.http.get("/api/v1/workloads") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].headers["Retry-After"] == "7"


def test_faults_fit_method_and_path_and_may_come_later(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("status", path="*/trainings", method="POST", after=1)
    assert steps.http.get("/api/v1/workloads/trainings").status_code == 404
    assert steps.post("/api/v1/workloads/trainings", steps.body("first")).status_code == 202
    assert steps.post("/api/v1/workloads/trainings", steps.body("second")).status_code == 503


def test_html_of_a_gateway(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("html")
    answer = steps.http.get("/api/v1/clusters")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")


def test_slow_answer(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("slow", seconds=0.3)
    began = time.monotonic()
    assert steps.http.get("/api/v1/clusters").status_code == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("kind", ["slow", "lose_reply"])
def test_calls_that_wait_go_on_when_the_faults_are_cleared(
    stepped: Emulator, steps: Client, kind: str
) -> None:
    stepped.faults.add(kind, path="/api/v1/workloads/trainings", method="POST", seconds=300)
    body = steps.body("late")
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(steps.http.post, "/api/v1/workloads/trainings", json=body)
        wait_until(lambda: not stepped.faults.planned(), "the call")
        assert not asked.done()
        stepped.faults.clear()
        ended = asked.exception()
    assert isinstance(ended, httpx.RemoteProtocolError) == (kind == "lose_reply")
    assert len(stepped.workloads_named("late")) == 1


def test_stale_list_lags_behind(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless-old")
    stepped.advance(100)
    steps.create("endless-new")
    stepped.preempt("endless-old")
    stepped.faults.add("stale_list", seconds=30, times=1)
    stale = steps.get("/api/v1/workloads")["workloads"]
    assert [(item["name"], item["phase"]) for item in stale] == [("endless-old", "Running")]
    fresh = steps.get("/api/v1/workloads")["workloads"]
    assert [item["phase"] for item in fresh] == ["Terminating", "Creating"]
    assert steps.phase(created) == "Terminating"


def test_new_workload_is_hidden_for_a_while(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("hide_new", path="/api/v1/workloads/*", seconds=10, times=None)
    created = steps.create("shy")
    assert steps.http.get(f"/api/v1/workloads/{created}").status_code == 404
    stepped.advance(11)
    assert steps.phase(created) == "Running"


def test_newer_server(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless")
    stepped.advance(5)
    steps.post(f"/api/v1/workloads/trainings/{created}/suspend")
    stepped.faults.add("future", times=None)
    assert steps.phase(created) == "Suspending"
    assert "somethingNew" in steps.get("/api/v1/workloads")["workloads"][0]


def test_missing_fields(stepped: Emulator, steps: Client) -> None:
    created = steps.create("poor")
    stepped.faults.add("missing_fields", missing=["desiredPhase", "phaseUpdatedAt"])
    assert not {"desiredPhase", "phaseUpdatedAt"} & set(steps.workload(created))


def test_colours_go_together_with_other_faults(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("future", times=None)
    stepped.faults.add("status", status=500)
    answer = steps.http.get("/api/v1/workloads")
    assert answer.status_code == 500
    assert steps.http.get("/api/v1/workloads").status_code == 200


def test_faults_over_the_wire(stepped: Emulator, steps: Client) -> None:
    planned = {"kind": "status", "path": "/api/v1/clusters", "status": 429, "retry_after": 1}
    assert steps.post("/_emulator/faults", planned).status_code == 201
    assert [fault["status"] for fault in steps.get("/_emulator/faults")["faults"]] == [429]
    assert steps.http.get("/api/v1/clusters").status_code == 429
    steps.post("/_emulator/faults", planned)
    assert steps.http.delete("/_emulator/faults").status_code == 204
    assert steps.http.get("/api/v1/clusters").status_code == 200


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"kind": "earthquake"}, "is not a fault; use one of status"),
        ({"kind": "status", "stauts": 500}, "stauts: not a detail of a fault; known are after"),
        ({"kind": "status", "times": 0}, "times: 0 is not 1 or more"),
        ({}, "at least a kind"),
        ([], "at least a kind"),
    ],
)
def test_mistakes_in_a_fault_are_named(steps: Client, body: Any, complaint: str) -> None:
    answer = steps.post("/_emulator/faults", body)
    assert answer.status_code == 400
    assert complaint in answer.json()["message"]


def test_own_endpoints_need_a_token_and_are_spared_by_faults(
    stepped: Emulator, steps: Client
) -> None:
    assert httpx.get(f"{stepped.url}/_emulator/requests").status_code == 401
    stepped.faults.add("status", times=None)
    assert steps.http.get("/_emulator/requests").status_code == 200


def test_requests_are_counted_without_secrets(stepped: Emulator, steps: Client) -> None:
    steps.create("one")
    seen = steps.get("/_emulator/requests")["requests"]
    assert {
        "method": "POST",
        "path": "/api/v1/workloads/trainings",
        "query": "",
        "status": 202,
    } in seen
    assert stepped.client_secret not in str(seen)


def test_a_list_lags_behind_deletions_too(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless-old")
    stepped.advance(100)
    assert steps.http.delete(f"/api/v1/workloads/trainings/{created}").status_code == 202
    stepped.advance(10)
    stepped.faults.add("stale_list", seconds=30, times=3)
    (stale,) = steps.get("/api/v1/workloads")["workloads"]
    assert (stale["id"], stale["phase"], stale["deletedAt"]) == (created, "Running", None)
    assert steps.get("/api/v1/workloads", deleted="true") == {"workloads": []}
    assert steps.http.get(f"/api/v1/workloads/{created}").status_code == 404
    stepped.advance(30)
    assert steps.get("/api/v1/workloads") == {"workloads": []}
    assert [item["id"] for item in steps.get("/api/v1/workloads", deleted="true")["workloads"]] == [
        created
    ]


def test_lists_are_empty_and_single_reads_are_not(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless")
    stepped.faults.add("empty_list", times=3)
    assert steps.get("/api/v1/workloads", limit=1) == {"workloads": []}
    assert steps.get(f"/api/v1/workloads/{created}/history") == {"records": []}
    assert steps.workload(created)["requestedNodePools"] == ["default"]


def test_what_is_hidden_is_back_after_a_while(stepped: Emulator, steps: Client) -> None:
    created, other = steps.create("endless-shy"), steps.create("endless-bold")
    stepped.advance(100)
    stepped.faults.add("hide", name="*-shy", times=None, lasts=60)
    assert [item["id"] for item in steps.get("/api/v1/workloads")["workloads"]] == [other]
    assert steps.get("/api/v1/workloads", deleted="true") == {"workloads": []}
    for path in ("", "/history", "/events", "/pods"):
        assert steps.http.get(f"/api/v1/workloads/{created}{path}").status_code == 404
    assert steps.http.delete(f"/api/v1/workloads/trainings/{created}").status_code == 404
    assert steps.post("/api/v1/workloads/trainings", steps.body("endless-shy")).status_code == 400
    stepped.advance(61)
    assert steps.phase(created) == "Running"
    assert steps.get("/_emulator/faults") == {"faults": []}


def test_messages_hold_what_breaks_databases_and_terminals(
    stepped: Emulator, steps: Client
) -> None:
    created = steps.create("endless")
    stepped.faults.add("replace", times=2)
    answer = steps.http.get(f"/api/v1/workloads/{created}")
    assert answer.json()["phaseMessage"] == HOSTILE_TEXT
    assert "\\ud83d" in answer.text
    records = steps.get(f"/api/v1/workloads/{created}/history")["records"]
    assert {record["spec"]["phaseUpdate"]["phaseMessage"] for record in records} == {HOSTILE_TEXT}
    assert steps.workload(created)["phaseMessage"] not in (HOSTILE_TEXT, "")


def test_names_events_and_reasons_are_replaced_by_any_text(
    stepped: Emulator, steps: Client
) -> None:
    steps.create("endless")
    stepped.advance(5)
    planned = {
        "kind": "replace",
        "times": None,
        "fields": ["name", "reason", "message"],
        "text": "x" * 1_000_000,
    }
    assert steps.post("/_emulator/faults", planned).status_code == 201
    (item,) = steps.get("/api/v1/workloads")["workloads"]
    events = steps.get(f"/api/v1/workloads/{item['id']}/events")["events"]
    assert {
        len(item["name"]),
        *(len(event[key]) for event in events for key in ("reason", "message")),
    } == {1_000_000}


def test_a_preemption_that_nobody_calls_so(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless")
    stepped.advance(5)
    stepped.faults.add("unnamed_preemption", times=None)
    assert stepped.preempt("endless")
    stepped.advance(5)
    history = steps.history(created)
    assert ("Terminating", "Evicted: node maintenance") in history
    assert ("Pending", "Queued again. Evicted: node maintenance") in history
    events = steps.get(f"/api/v1/workloads/{created}/events")["events"]
    assert not any("preempt" in f"{event['reason']} {event['message']}".lower() for event in events)
    stepped.faults.clear()
    assert ("Terminating", "Preempted: node maintenance") in steps.history(created)


def test_the_date_is_that_of_the_emulators_clock(stepped: Emulator, steps: Client) -> None:
    stepped.advance(86400)
    stepped.faults.add("skew", seconds=-600)
    dates = [
        parsedate_to_datetime(steps.http.get("/api/v1/clusters").headers["Date"]).timestamp()
        for _ in range(2)
    ]
    assert dates == [stepped.clock.now() - 600, stepped.clock.now()]


@pytest.mark.parametrize(
    "fault", [{"kind": "status", "status": 500}, {"kind": "html"}, {"kind": "skew", "seconds": 5}]
)
def test_every_answer_has_one_date(stepped: Emulator, steps: Client, fault: dict[str, Any]) -> None:
    stepped.faults.add(**fault)
    assert len(steps.http.get("/api/v1/clusters").headers.get_list("Date")) == 1


def test_a_create_is_delivered_late(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add(
        "deliver_late", path="/api/v1/workloads/trainings", method="POST", seconds=70
    )
    body = steps.body("late")
    with pytest.raises(httpx.RemoteProtocolError):
        steps.post("/api/v1/workloads/trainings", body)
    stepped.advance(69)
    assert stepped.workloads_named("late") == []
    stepped.advance(2)
    (made,) = stepped.workloads_named("late")
    assert made.created_at == pytest.approx(stepped.clock.now() - 1)
    creates = [seen.status for seen in stepped.requests if seen.path.endswith("/trainings")]
    assert creates == [0, 202]


def test_a_create_that_is_refused_when_it_arrives_at_last(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add(
        "deliver_late", path="/api/v1/workloads/trainings", method="POST", seconds=10
    )
    body = steps.body("once")
    with pytest.raises(httpx.RemoteProtocolError):
        steps.post("/api/v1/workloads/trainings", body)
    steps.create("once")
    stepped.advance(11)
    assert len(stepped.workloads_named("once")) == 1
    assert [seen.status for seen in stepped.requests if seen.path.endswith("/trainings")] == [
        0,
        202,
        400,
    ]


def test_a_late_create_arrives_by_a_real_clock(emulator: Emulator, client: Client) -> None:
    emulator.faults.add(
        "deliver_late", path="/api/v1/workloads/trainings", method="POST", seconds=0.3
    )
    body = client.body("late")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/api/v1/workloads/trainings", body)
    wait_until(lambda: emulator.workloads_named("late"))


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("deliver_late", {"path": "/api/v1/clusters", "seconds": 1}),
        ("stale_list", {"seconds": 5}),
        ("empty_list", {}),
        ("hide", {"name": "some*", "lasts": 30}),
        ("replace", {"fields": ["phaseMessage"], "text": "\ud83d"}),
        ("unnamed_preemption", {}),
        ("skew", {"seconds": -3600}),
    ],
)
def test_each_fault_is_planned_over_the_wire(
    stepped: Emulator, steps: Client, kind: str, details: Any
) -> None:
    content = json.dumps({"kind": kind, **details}).encode()
    answer = steps.http.post(
        "/_emulator/faults", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201
    (planned,) = steps.get("/_emulator/faults")["faults"]
    assert planned.items() >= {"kind": kind, **details}.items()

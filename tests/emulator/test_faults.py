"""Faults on demand, over the wire and from Python."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from airflow_runai.emulator import Emulator
from tests.polling import wait_until

from .conftest import Client


def test_lost_reply_has_done_its_work(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("lose_reply", path="/api/v1/workloads/trainings", method="POST")
    with pytest.raises(httpx.RemoteProtocolError):
        steps.post("/api/v1/workloads/trainings", steps.body("once"))
    assert [workload.name for workload in stepped.workloads_named("once")] == ["once"]
    assert stepped.requests[-1].status == 0
    assert steps.get("/api/v1/workloads/count") == {"count": 1}


def test_stalled_reply_has_done_its_work(stepped: Emulator, steps: Client) -> None:
    stepped.faults.add("lose_reply", path="/api/v1/workloads/trainings", seconds=5)
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


def test_own_endpoints_need_a_token_and_are_spared_by_faults(stepped: Emulator, steps: Client) -> None:
    assert httpx.get(f"{stepped.url}/_emulator/requests").status_code == 401
    stepped.faults.add("status", times=None)
    assert steps.http.get("/_emulator/requests").status_code == 200


def test_requests_are_counted_without_secrets(stepped: Emulator, steps: Client) -> None:
    steps.create("one")
    seen = steps.get("/_emulator/requests")["requests"]
    assert {"method": "POST", "path": "/api/v1/workloads/trainings", "query": "", "status": 202} in seen
    assert stepped.client_secret not in str(seen)

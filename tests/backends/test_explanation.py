"""Reasons are read once, bounded, and never at the cost of whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_runai.backends.explanation import explain
from airflow_runai.core.flow import Reply, Request
from airflow_runai.errors import Unreachable
from tests.backends.rest import html, item, reply
from tests.core.stage import NOON, Hand

PATH = "/api/v1/workloads/w-1"
MISSING = {
    "type": "Warning",
    "reason": "Failed",
    "message": 'Failed to pull image "a:1": not found',
    "createdAt": NOON,
    "involvedObject": {"name": "pod-0"},
}
POD = {"name": "pod-0", "nodeName": "node-1", "k8sPhase": "Pending"}
TOLD = {
    "": item(phase="Initializing"),
    "/events": {"events": [MISSING]},
    "/pods": {"pods": [POD]},
}


def plane(answers: dict[str, Any]) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        found = answers.get(request.path.removeprefix(PATH), html(404))
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Reply) else reply(found)

    return answer


def told(answers: dict[str, Any], phase: str = "Initializing") -> tuple[list[str], Hand]:
    hand = Hand(plane(answers))
    return [reason.code for reason in hand.run(explain("w-1", phase, NOON))], hand


def test_a_workload_that_starts_is_asked_about_with_three_requests() -> None:
    found, hand = told(TOLD)
    assert found == ["image-missing"]
    assert [request.path for request in hand.asked] == [PATH, f"{PATH}/events", f"{PATH}/pods"]
    assert ("limit", "100") in hand.asked[1].params


def test_of_one_that_has_ended_the_deleted_pods_are_read_too() -> None:
    _, hand = told({**TOLD, "": item(phase="Failed")})
    assert hand.asked[-1].params == [("limit", "100"), ("deleted", "true")]
    assert len(hand.asked) == 4


def test_one_that_asks_for_more_than_its_cluster_has_never_starts() -> None:
    asks: dict[str, Any] = {
        "workloadRequestedResources": {"gpu": {"request": 6}},
        "clusterId": "c-1",
    }
    size = {"/api/v1/nodes/telemetry": {"values": [{"value": "4"}]}}
    assert told({"": item(phase="Pending", **asks), **size})[0] == ["more-than-cluster"]
    assert told({"": item(phase="Pending", **asks)})[0] == []


@pytest.mark.parametrize("lost", ["", "/events", "/pods"])
@pytest.mark.parametrize("how", [reply({"message": "no"}, 403), html(404)])
def test_what_may_not_be_read_is_left_out(lost: str, how: Reply) -> None:
    found, hand = told({**TOLD, lost: how})
    assert found == ([] if lost == "/events" else ["image-missing"])
    assert len(hand.asked) == 3


def test_an_unreachable_server_is_not_asked_again() -> None:
    found, hand = told({**TOLD, "/events": Unreachable("reset")})
    assert found == []
    assert len(hand.asked) == 2


def test_a_huge_answer_is_not_decoded() -> None:
    _, hand = told(TOLD)
    decode = hand.asked[1].decode
    assert decode is not None
    assert decode(b"[1]") == [1]
    with pytest.raises(ValueError, match="at most 1048576 are read"):
        decode(b" " * (2**20 + 1))


@pytest.mark.parametrize("odd", [[], "x", 7, {"events": 3}, {"events": [None, [], {}]}])
def test_odd_shapes_say_nothing(odd: Any) -> None:
    assert told({"": odd, "/events": odd, "/pods": odd})[0] == []


def test_a_workload_that_runs_by_now_needs_no_reason() -> None:
    found, hand = told({**TOLD, "": item(phase="Running")})
    assert found == []
    assert len(hand.asked) == 1

"""What a project may and can have: read leniently, and never guessed."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends import capacity
from airflow_runai.errors import NotFound, Unreadable
from tests.backends.rest import PROJECT, Answers, item, reply


@pytest.mark.parametrize(
    ("body", "policy"),
    [
        ({"effective": {"rules": {"a": 1}}, "policy": {"rules": {}}}, {"rules": {"a": 1}}),
        ({"effective": None, "policy": {"rules": {"b": 1}}}, {"rules": {"b": 1}}),
        ({"meta": {}}, {}),
        ({"effective": "none"}, {}),
        ([], {}),
    ],
)
def test_effective_policy_wins_and_none_is_empty(body: Any, policy: Any) -> None:
    hand = Answers.hand(reply(body))
    assert hand.run(capacity.effective_policy(PROJECT, "trainings")) == policy
    (request,) = hand.asked
    assert (request.method, request.path) == ("GET", "/api/v2/policy/trainings")
    assert dict(request.params) == {"scope": "project", "projectId": "4501"}


def test_gpus_in_use_are_those_that_workloads_hold() -> None:
    held = [{"gpu": 2}, {"gpu": 0.5}, {"gpu": "1"}, {"gpu": None}, {}, None]
    rows = [item(f"w-{number}", allocatedResources=entry) for number, entry in enumerate(held)]
    assert Answers.hand(reply({"workloads": rows})).run(capacity.gpus_in_use(PROJECT)) == 3.5


def test_gpus_of_nodes_are_added() -> None:
    told = {"type": "FREE_GPUS", "values": [{"value": "3"}, {"value": "1.5"}]}
    assert Answers.hand(reply(told)).run(capacity.gpus_of_nodes("c-1", "FREE_GPUS")) == 4.5


@pytest.mark.parametrize("body", [{"values": []}, {"values": None}, {}, None])
def test_silence_is_no_zero(body: Any) -> None:
    with pytest.raises(Unreadable):
        Answers.hand(reply(body)).run(capacity.gpus_of_nodes("c-1", "FREE_GPUS"))


def test_server_without_the_call_refuses() -> None:
    missing = reply({"code": 404, "message": "not found"}, 404)
    with pytest.raises(NotFound):
        Answers.hand(missing).run(capacity.project_record(PROJECT))

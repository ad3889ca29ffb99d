"""What can never start is said before anybody waits for it, and asking costs little."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends.prospects import prospects
from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import Unreachable
from tests.backends.rest import PROJECT, reply
from tests.core.stage import Hand


def spec(gpus: float, **more: Any) -> WorkloadSpec:
    compute = {"gpu_portion": gpus} if gpus < 1 else {"gpu_devices": int(gpus)}
    return WorkloadSpec.from_mapping({"image": "a", "compute": compute, **more})


def plane(request: Request) -> Reply:
    if request.path == "/api/v1/nodes/telemetry":
        return reply({"values": [{"value": "8"}]})
    return reply({"resources": [{"gpu": {"deserved": 2, "limit": 6}}]})


def told(one: WorkloadSpec, answer: Any = plane) -> tuple[list[str], int]:
    hand = Hand(answer)
    found = [reason.sentence for reason in hand.run(prospects(PROJECT, one))]
    return found, len(hand.asked)


FIXED = {"preemptibility": "non-preemptible"}


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (spec(9), "it can never start: asks for 9 GPUs; the cluster has 8; ask for fewer GPUs"),
        (
            spec(7),
            "it can never start: asks for 7 GPUs; the project's limit is 6; ask for fewer GPUs, or "
            "have the limit raised",
        ),
        (
            spec(3, **FIXED),
            "non-preemptible, so it can never start: asks for 3 GPUs; the project's quota is 2; "
            "make it preemptible, ask for fewer GPUs, or have the quota raised",
        ),
        (
            spec(3, preemptibility="semi-preemptible"),
            "non-preemptible, so it can never start: asks for 3 GPUs; the project's quota is 2; "
            "make it preemptible, ask for fewer GPUs, or have the quota raised",
        ),
    ],
)
def test_what_can_never_start_is_said(one: WorkloadSpec, sentence: str) -> None:
    assert told(one) == ([sentence], 2)


ELASTIC = {"framework": "PyTorch", "workers": 3, "master": {"compute": {"gpu_devices": 0}}}
SEMI = {"preemptibility": "semi-preemptible", "distributed": {**ELASTIC, "min_replicas": 2}}


@pytest.mark.parametrize(
    "one", [spec(3), spec(6), spec(2, **FIXED), spec(0.5, **FIXED), spec(1, **SEMI)]
)
def test_what_can_start_some_day_is_not_warned_of(one: WorkloadSpec) -> None:
    assert told(one) == ([], 2)


@pytest.mark.parametrize("one", [spec(1), spec(0.5), WorkloadSpec.from_mapping({"image": "a"})])
def test_one_gpu_is_not_worth_a_request(one: WorkloadSpec) -> None:
    assert told(one) == ([], 0)


def test_what_may_not_be_read_is_no_bound() -> None:
    def only_nodes(request: Request) -> Reply:
        is_nodes = request.path == "/api/v1/nodes/telemetry"
        return plane(request) if is_nodes else reply({"message": "no"}, 403)

    assert told(spec(7), only_nodes) == ([], 2)
    assert told(spec(9), only_nodes)[0] != []


def test_an_outage_is_asked_once() -> None:
    def lost(request: Request) -> Reply:
        raise Unreachable("reset")

    assert told(spec(9), lost) == ([], 1)

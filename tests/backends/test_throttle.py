"""One pace for all requests of a session, and whose turn it is."""

from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_runai.backends.throttle import (
    BURST,
    ENDED,
    FIRST_PAUSE,
    HISTORY,
    IN_FLIGHT,
    LIST,
    MAX_PAUSE,
    RATE,
    Throttle,
)
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.errors import Unreachable
from tests.backends.flows import Flows
from tests.core.stage import NOON


class Herd:
    """Requests through one throttle."""

    def __init__(self, latency: float = 0.0) -> None:
        self.status, self.headers = 200, dict[str, str]()
        self.throttle, self.flows = Throttle(), Flows(self._answer, latency)

    def send(self, rank: int = ENDED, path: str = "/x") -> None:
        self.flows.start(self.throttle.paced(_one(Request("GET", path, rank=rank))))

    def _answer(self, request: Request) -> Reply:
        if self.status == 0:
            raise Unreachable("down")
        return Reply(self.status, self.flows.now, headers=self.headers)

    def sent(self, since: float, until: float) -> int:
        return sum(since <= at - NOON < until for at, _ in self.flows.asked)

    @property
    def paths(self) -> list[str]:
        return [request.path for _, request in self.flows.asked]


def _one(request: Request) -> Flow[Reply]:
    return (yield request)


def test_a_herd_goes_at_a_bounded_rate_after_a_first_burst() -> None:
    herd = Herd()
    for _ in range(1000):
        herd.send()
    herd.flows.run(120)
    assert len(herd.flows.asked) == 1000
    assert herd.sent(0, 0.01) == BURST
    for second in range(1, 40):
        assert herd.sent(second, second + 1) == pytest.approx(RATE, abs=1)


def test_few_are_without_an_answer_at_once() -> None:
    herd = Herd(latency=3.0)
    for _ in range(30):
        herd.send()
    herd.flows.run(2.9)
    assert len(herd.flows.asked) == IN_FLIGHT
    herd.flows.run(3.0)
    assert len(herd.flows.asked) == 2 * IN_FLIGHT


def test_lists_go_before_ends_and_ends_before_histories() -> None:
    herd = Herd(latency=1.0)
    for number in range(IN_FLIGHT):
        herd.send(HISTORY, f"/busy-{number}")
    herd.flows.run(0.5)
    for rank, path in ((HISTORY, "/history"), (ENDED, "/end"), (LIST, "/list"), (ENDED, "/end-2")):
        herd.send(rank, path)
    herd.flows.run(5)
    assert herd.paths[IN_FLIGHT:] == ["/list", "/end", "/end-2", "/history"]


def test_a_server_that_asks_to_slow_down_is_left_alone_by_everybody() -> None:
    herd = Herd()
    herd.status, herd.headers = 429, {"retry-after": "33"}
    herd.send()
    herd.flows.run(0.1)
    herd.status = 200
    for _ in range(20):
        herd.send()
    herd.flows.run(32)
    assert len(herd.flows.asked) == 1
    herd.flows.run(5)
    assert len(herd.flows.asked) == 21


def test_without_a_named_pause_pauses_grow_and_one_request_finds_out() -> None:
    herd = Herd(latency=0.01)
    herd.status = 429
    for _ in range(200):
        herd.send()
    herd.flows.run(600)
    later = [at - NOON for at, _ in herd.flows.asked][IN_FLIGHT:]
    assert later[0] >= FIRST_PAUSE
    pauses = [b - a for a, b in pairwise(later)]
    assert pauses == sorted(pauses), "one at a time, less and less often"
    assert pauses[-1] == pytest.approx(MAX_PAUSE, abs=0.1)
    herd.status = 200
    herd.flows.run(MAX_PAUSE + 30)
    assert len(herd.flows.asked) == 200


def test_whoever_is_cancelled_or_fails_leaves_its_turn_to_the_others() -> None:
    herd = Herd(latency=1.0)
    for _ in range(IN_FLIGHT + 2):
        herd.send()
    herd.flows.run(0.5)
    herd.flows.cancel(herd.flows.running[0])
    herd.flows.run(0.1)
    assert len(herd.flows.asked) == IN_FLIGHT + 1
    herd.flows.cancel(herd.flows.running[-1])
    herd.status = 0
    herd.send()
    herd.flows.run(5)
    assert len(herd.flows.asked) == IN_FLIGHT + 2
    assert not herd.flows.running


def test_a_clock_that_is_set_back_prolongs_no_pause() -> None:
    herd = Herd()
    herd.status, herd.headers = 503, {"retry-after": "10"}
    herd.send()
    herd.flows.run(0.1)
    herd.status = 200
    herd.flows.now -= 3600
    herd.send()
    herd.flows.run(10.5)
    assert len(herd.flows.asked) == 2

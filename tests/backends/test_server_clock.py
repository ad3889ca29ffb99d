from __future__ import annotations

import logging
import time
from email.utils import formatdate

import httpx
import pytest

from airflow_runai.backends import drivers
from airflow_runai.backends.server_clock import TOLERANCE, ServerClock
from airflow_runai.core.flow import Flow, Request, now

HOUR = 3600.0


def told(offset: float) -> str:
    return formatdate(time.time() + offset, usegmt=True)


def off(clock: ServerClock) -> float:
    """By how much a clock differs; asked again if something else came in between."""
    while True:
        before = time.time()
        moment = clock.now()
        if time.time() - before < 0.1:
            return moment - before


@pytest.mark.parametrize("offset", [-HOUR, -600, -8, 8, 600, HOUR])
def test_a_clock_that_is_off_is_corrected_and_told_once(
    offset: float, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ServerClock()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            clock.learn(told(offset), time.time())
    assert off(clock) == pytest.approx(offset, abs=1.5)
    assert len(caplog.records) == 1
    assert ("behind" if offset > 0 else "ahead of") in caplog.text


@pytest.mark.parametrize("offset", [-TOLERANCE + 1, 0, TOLERANCE - 1])
def test_small_differences_are_left_alone(offset: float, caplog: pytest.LogCaptureFixture) -> None:
    clock = ServerClock()
    clock.learn(told(offset), time.time())
    assert off(clock) == pytest.approx(0, abs=0.5)
    assert caplog.records == []


def test_a_reply_that_was_slow_proves_no_difference() -> None:
    clock = ServerClock()
    clock.learn(told(-29), time.time() - 30)
    assert off(clock) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Thu, 99 Foo 2026 00:00:00 GMT", "1", "\ud83d", "9" * 400]
)
def test_what_is_no_date_tells_nothing(date: str | None) -> None:
    clock = ServerClock()
    clock.learn(date, time.time())
    assert off(clock) == pytest.approx(0, abs=0.5)


def test_flows_see_the_time_of_the_server() -> None:
    def ask() -> Flow[tuple[float, float]]:
        reply = yield Request("GET", "/")
        return reply.now, (yield from now())

    answer = httpx.MockTransport(lambda request: httpx.Response(200, headers={"date": told(-HOUR)}))
    before = time.time()
    with httpx.Client(transport=answer, base_url="http://x") as client:
        found = drivers.run(ask(), client)
    assert all(before - HOUR - 5 <= moment <= time.time() - HOUR + 5 for moment in found)

"""How a submission waits for a control plane that does not answer, or asks to slow down."""

from __future__ import annotations

import pytest

from airflow_runai.backends.control_plane import get
from airflow_runai.backends.patience import MAX_PAUSE, SUBMISSION_PATIENCE, Patience
from airflow_runai.core.flow import Flow, Reply, Request, Sleep
from airflow_runai.errors import (
    Forbidden,
    NotFound,
    QuotaExceeded,
    RunaiError,
    Throttled,
    Unauthorized,
    Unreachable,
    Untrusted,
)
from tests.backends.rest import Answers, html, item, reply
from tests.core.stage import NOON

LOST = Unreachable("the connection was reset")
TROUBLES = (
    LOST,
    reply({}, 500),
    reply({}, 503),
    html(502),
    html(200),
    reply({}, 429),
    reply({}, 429, **{"retry-after": "5"}),
)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_may_pass_is_outlasted(trouble: Reply | Exception) -> None:
    hand = Answers.hand(*[trouble] * 9, reply(item()))
    assert hand.run(Patience().retry(lambda: get("w-1"))).id == "w-1"
    assert len(hand.slept) == 9


@pytest.mark.parametrize("trouble", TROUBLES)
def test_patience_ends_after_ten_minutes_with_the_last_error(trouble: Reply | Exception) -> None:
    hand = Answers.hand(trouble)
    with pytest.raises(Unreachable):
        hand.run(Patience().retry(lambda: get("w-1")))
    assert SUBMISSION_PATIENCE == 600.0
    assert 600.0 <= hand.now - NOON < 600.0 + MAX_PAUSE


def test_without_patience_there_is_one_attempt() -> None:
    hand = Answers.hand(LOST)
    with pytest.raises(Unreachable):
        hand.run(Patience(0.0).retry(lambda: get("w-1")))
    assert (len(hand.asked), hand.slept) == (1, [])


def test_a_full_quota_is_waited_for_unlike_a_missing_right() -> None:
    tries: list[RunaiError] = [QuotaExceeded("full", 403), QuotaExceeded("full", 403)]

    def create() -> Flow[str]:
        yield Sleep(0)
        if tries:
            raise tries.pop()
        return "made"

    assert Answers.hand().run(Patience().retry(create)) == "made"
    tries.append(Forbidden("no", 403))
    with pytest.raises(Forbidden):
        Answers.hand().run(Patience().retry(create))


def test_an_untrusted_certificate_does_not_pass() -> None:
    hand = Answers.hand(Untrusted("self-signed"))
    with pytest.raises(Untrusted):
        hand.run(Patience(refusals=True).retry(lambda: get("w-1")))
    assert hand.slept == []


REFUSALS: dict[int, type[RunaiError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound}


@pytest.mark.parametrize("status", REFUSALS)
def test_refusals_are_outlasted_only_where_a_workload_may_be_alive(status: int) -> None:
    refused = reply({"message": "no"}, status)
    hand = Answers.hand(*[refused] * 5, LOST, reply(item()))
    assert hand.run(Patience(refusals=True).retry(lambda: get("w-1"))).id == "w-1"
    with pytest.raises(REFUSALS[status]):
        Answers.hand(refused).run(Patience(refusals=True).retry(lambda: get("w-1")))
    hand = Answers.hand(refused)
    with pytest.raises(REFUSALS[status]):
        hand.run(Patience().retry(lambda: get("w-1")))
    assert hand.slept == []


def pauses(trouble: RunaiError, count: int = 8) -> list[Sleep]:
    """The pauses between the first attempts."""
    flow, found = Patience().retry(lambda: get("w-1")), list[Sleep]()
    step = next(flow)
    while len(found) < count:
        is_request = isinstance(step, Request)
        if isinstance(step, Sleep) and step.seconds:
            found.append(step)
        step = flow.throw(trouble) if is_request else flow.send(Reply(0, NOON))
    return found


def test_pauses_are_spread_evenly_below_a_ceiling_that_doubles() -> None:
    longest = [pause.seconds * (1 + pause.jitter) for pause in pauses(LOST)]
    assert [round(seconds - 0.5, 6) for seconds in longest] == [2, 4, 8, 16, 32, 60, 60, 60]
    assert {pause.seconds for pause in pauses(LOST)} == {0.5}


def test_what_the_server_asks_for_is_the_shortest_pause_not_the_only_one() -> None:
    first, second, *_ = pauses(Throttled("slow down", 5.0))
    assert (first.seconds, second.seconds) == (5.5, 5.5)
    assert (first.seconds * first.jitter, second.seconds * second.jitter) == (2.0, 4.0)
    assert pauses(Throttled("slow down", 86_400.0))[0].seconds == MAX_PAUSE + 0.5

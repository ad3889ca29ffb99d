from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_runai.backends.replies import accept
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.flow import Flow, Reply, Request, Sleep, Wait
from airflow_runai.errors import Forbidden, NotFound, Refused, Unauthorized, Unreachable, Unreadable
from tests.backends.rest import html, reply
from tests.core.stage import NOON, Hand

SECRET = "s3cr3t-value"
V2, V1, APP = "v2 client_credentials", "v1 client_credentials", "v1 app_token"


def grant_of(request: Request) -> str:
    if request.path == "/api/v2/token":
        assert request.form is not None
        return f"v2 {request.form['grant_type']}"
    assert request.path == "/api/v1/token"
    assert request.json is not None
    return f"v1 {request.json['grantType']}"


class Plane:
    """Answers token calls by grant; other calls are good if they carry the newest token."""

    def __init__(self, **answers: Reply | Exception) -> None:
        self.answers: dict[str, Any] = answers
        self.grants: list[str] = []
        self.calls: list[str] = []
        self.life: Any = 3600
        self.valid: Callable[[str], bool] = lambda token: token == f"Bearer t{len(self.grants)}"

    def __call__(self, request: Request) -> Reply:
        if "token" not in request.path:
            self.calls.append(request.headers["Authorization"])
            return (
                reply({"id": 1})
                if self.valid(self.calls[-1])
                else reply({"message": "expired"}, 401)
            )
        grant = grant_of(request)
        self.grants.append(grant)
        answer = self.answers.get(grant.replace(" ", "_"))
        if isinstance(answer, Exception):
            raise answer
        key, life = ("access_token", "expires_in") if grant == V2 else ("accessToken", "expiresIn")
        return answer or reply({key: f"t{len(self.grants)}", life: self.life})


def call() -> Flow[Any]:
    request = Request("GET", "/x")
    return accept(request, (yield request))


def start(plane: Plane, seen: list[str] | None = None) -> tuple[Hand, Tokens]:
    return Hand(answer=plane), Tokens("me", SECRET, (seen if seen is not None else []).append)


OLD = reply({"message": "not found"}, 404)


@pytest.mark.parametrize(
    ("answers", "grants"),
    [
        ({}, [V2]),
        ({"v2_client_credentials": OLD}, [V2, V1]),
        ({"v2_client_credentials": reply(None, 405)}, [V2, V1]),
        ({"v2_client_credentials": html(404)}, [V2, V1]),
        (
            {
                "v2_client_credentials": OLD,
                "v1_client_credentials": reply({"message": "unknown grant"}, 400),
            },
            [V2, V1, APP],
        ),
    ],
)
def test_the_grants_are_tried_from_the_newest_and_what_worked_comes_first(
    answers: Any, grants: list[str]
) -> None:
    plane = Plane(**answers)
    hand, tokens = start(plane)
    assert hand.run(tokens.authorized(call())) == {"id": 1}
    assert plane.grants == grants
    hand.now += 3600
    hand.run(tokens.authorized(call()))
    assert plane.grants == [*grants, grants[-1]]


def test_what_failed_once_is_tried_again_when_what_worked_no_longer_does() -> None:
    plane = Plane(v2_client_credentials=OLD)
    hand, tokens = start(plane)
    hand.run(tokens.authorized(call()))
    plane.answers = {"v1_client_credentials": reply({"message": "gone in 3.0"}, 404)}
    hand.now += 3600
    assert hand.run(tokens.authorized(call())) == {"id": 1}
    assert plane.grants[2:] == [V1, V2]


@pytest.mark.parametrize(
    ("passed", "renewed"), [(0, False), (2879, False), (2880, True), (9999, True)]
)
def test_a_token_is_renewed_at_eighty_per_cent_of_its_life(passed: float, renewed: bool) -> None:
    plane = Plane()
    hand, tokens = start(plane)
    hand.run(tokens.authorized(call()))
    hand.now += passed
    hand.run(tokens.authorized(call()))
    assert (len(plane.grants) == 2) is renewed


@pytest.mark.parametrize("life", [None, "3600", {}])
def test_a_token_without_a_readable_life_lives_five_minutes(life: Any) -> None:
    plane = Plane()
    plane.life = life
    hand, tokens = start(plane)
    for passed in (0, 239, 1):
        hand.now += passed
        hand.run(tokens.authorized(call()))
    assert len(plane.grants) == 2


def test_one_401_is_answered_by_exactly_one_refresh_and_one_replay() -> None:
    plane = Plane()
    plane.valid = lambda token: token == "Bearer t2"
    seen: list[str] = []
    hand, tokens = start(plane, seen)
    assert hand.run(tokens.authorized(call())) == {"id": 1}
    assert (plane.grants, plane.calls) == ([V2, V2], ["Bearer t1", "Bearer t2"])
    assert seen == ["t1", "t2"]


def test_a_401_that_stays_is_told_and_not_repeated_for_ever() -> None:
    plane = Plane()
    plane.valid = lambda token: False
    hand, tokens = start(plane)
    with pytest.raises(Unauthorized, match="check client id and client secret"):
        hand.run(tokens.authorized(call()))
    assert (len(plane.grants), len(plane.calls)) == (2, 2)


def test_a_cluster_that_refuses_each_token_gets_one_new_one_in_the_life_of_a_token() -> None:
    plane = Plane()
    plane.valid = lambda token: False
    hand, tokens = start(plane)

    def of_cluster() -> Flow[int]:
        return (yield Request("GET", "https://c.example/cluster-api/status")).status

    assert [hand.run(tokens.authorized(of_cluster())) for _ in range(50)] == [401] * 50
    assert (len(plane.grants), len(plane.calls)) == (2, 51)
    hand.now += plane.life
    assert [hand.run(tokens.authorized(of_cluster())) for _ in range(50)] == [401] * 50
    assert len(plane.grants) == 4, "the next token is new to the cluster, too"


@pytest.mark.parametrize(
    "answers",
    [
        {
            "v2_client_credentials": reply(
                {"error": "invalid_client", "error_description": f"bad {SECRET}"}, 401
            )
        },
        {
            "v2_client_credentials": reply(
                {"error": "invalid_client", "error_description": f"bad {SECRET}"}, 400
            )
        },
        {
            "v2_client_credentials": OLD,
            "v1_client_credentials": reply({"message": f"bad {SECRET}"}, 401),
        },
        {
            "v2_client_credentials": OLD,
            "v1_client_credentials": reply({"message": "no"}, 400),
            "v1_app_token": reply({"message": f"bad {SECRET}"}, 400),
        },
    ],
)
def test_a_wrong_secret_is_told_without_the_secret(answers: Any) -> None:
    hand, tokens = start(Plane(**answers))
    with pytest.raises(
        Unauthorized, match=r"refuses client id and client secret .*check the connection"
    ) as caught:
        hand.run(tokens.authorized(call()))
    assert SECRET not in str(caught.value) + repr(caught.value)


def test_no_request_shows_the_secret_or_the_token_in_its_repr() -> None:
    hand, tokens = start(Plane(v2_client_credentials=OLD))
    hand.run(tokens.authorized(call()))
    shown = repr(hand.asked)
    assert SECRET not in shown
    assert "Bearer" not in shown


@pytest.mark.parametrize("answer", [OLD, html(404), reply(None, 405)])
def test_no_token_endpoint_anywhere_is_not_taken_for_a_missing_workload(answer: Reply) -> None:
    everywhere = {
        "v2_client_credentials": answer,
        "v1_client_credentials": answer,
        "v1_app_token": answer,
    }
    hand, tokens = start(Plane(**everywhere))
    with pytest.raises(Unreachable, match="is this the control plane's URL") as caught:
        hand.run(tokens.authorized(call()))
    assert not isinstance(caught.value, NotFound)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (html(200), Unreadable),
        (html(502), Unreachable),
        (reply({"message": "down"}, 503), Unreachable),
        (reply({"message": "no"}, 403), Forbidden),
        (reply({"something": "else"}), Unreadable),
        (reply(["t"]), Unreadable),
        (Unreachable("reset"), Unreachable),
    ],
)
def test_trouble_with_the_token_reaches_the_flow_where_it_asked(
    answer: Any, error: type[Exception]
) -> None:
    caught: list[Exception] = []

    def careful() -> Flow[str]:
        try:
            yield from call()
        except (Unreachable, Refused) as trouble:
            caught.append(trouble)
        yield Sleep(1)
        return "went on"

    hand, tokens = start(Plane(v2_client_credentials=answer))
    assert hand.run(tokens.authorized(careful())) == "went on"
    assert type(caught[0]) is error


def test_many_waits_ask_for_one_token() -> None:
    tokens, closed = Tokens("me", SECRET), 0
    flows = [tokens.authorized(call()) for _ in range(5)]
    steps = [_until_request(flow) for flow in flows]
    assert [s.path for s in steps if isinstance(s, Request)] == ["/api/v2/token"]
    granted = flows[0].send(reply({"access_token": "t1", "expires_in": 60}))
    assert isinstance(granted, Request)
    for flow in flows[1:]:
        step = _until_request(flow, resume=True)
        assert isinstance(step, Request)
        assert step.headers["Authorization"] == "Bearer t1"
        flow.close()
        closed += 1
    assert closed == 4


def _until_request(flow: Flow[Any], resume: bool = False) -> object:
    """Go on until the flow asks, or waits because another one has asked already."""
    step = flow.send(Reply(0, NOON)) if resume else next(flow)
    while isinstance(step, Sleep) and step.seconds == 0:
        step = flow.send(Reply(0, NOON))
    return step


def test_whoever_is_cancelled_while_asking_lets_the_others_ask() -> None:
    tokens = Tokens("me", SECRET)
    first, second = tokens.authorized(call()), tokens.authorized(call())
    assert isinstance(_until_request(first), Request)
    waiting = _until_request(second)
    assert isinstance(waiting, Wait)
    woken: list[bool] = []
    waiting.signal.add_listener(lambda: woken.append(True))
    first.close()
    assert woken
    assert isinstance(_until_request(second, resume=True), Request)


def test_closing_the_authorized_flow_closes_the_flow_inside() -> None:
    closed: list[bool] = []

    def inside() -> Flow[None]:
        try:
            yield Sleep(5)
        finally:
            closed.append(True)

    flow = Tokens("me", SECRET).authorized(inside())
    next(flow)
    flow.close()
    assert closed == [True]

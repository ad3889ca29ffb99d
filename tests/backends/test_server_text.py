"""
Whatever a server says, what leaves is fit for Airflow, a terminal and a page: seen at the edge, not at each call.

Conversations with the embedded Run:ai are recorded once, all fields of all shapes. Then they are
repeated, each time with something hostile in one place of the answers, and everything that comes
out is looked at.
"""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_runai.backends import (
    capacity,
    clients,
    control_plane,
    drivers,
    organization,
    submission,
)
from airflow_runai.backends.looks import READS_PER_PAGE, Looks
from airflow_runai.backends.tokens import MAX_TOKEN_LENGTH, Tokens
from airflow_runai.backends.watched import Watched
from airflow_runai.backends.watched_set import WatchedSet
from airflow_runai.backends.watcher import Watcher
from airflow_runai.core.backend import newest_named
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice, Sleep
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.policies import breaches
from airflow_runai.core.project import Project
from airflow_runai.core.waiting import appearance, wait
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import EmulatorSettings, Scenario, SteppedClock, serve
from airflow_runai.emulator.faults import HOSTILE_TEXT
from airflow_runai.errors import RunaiError
from tests.backends.rest import BACKEND, order
from tests.backends.test_drivers import listening
from tests.backends.test_drivers import settings as at

NAME = "train-0123456789-g1"
#: No text that leaves is longer, nor anything else (bytes of JSON); a timeline has at most 200
#: entries.
LONGEST_TEXT, LARGEST = 2_000, 150_000
#: Naps after which a wait that nothing will end is left.
ENOUGH = 8


class Left(Exception):
    """The test has seen enough of a wait."""


class Answers(dict[str, tuple[int, Any]]):
    """Status and body by method and path."""

    def __repr__(self) -> str:
        return f"<{len(self)} answers>"


@dataclass
class Talk:
    """
    One conversation and all that came out of it.

    :param answer: the wire.
    """

    answer: Callable[[httpx.Request], httpx.Response]
    left: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    naps: int = 0

    def run(self, flow: Flow[Any]) -> Any:
        tokens = Tokens("client", "secret", on_token=self._mask)
        with httpx.Client(
            base_url="http://runai", transport=httpx.MockTransport(self._ask)
        ) as client:
            found = drivers.run(tokens.authorized(flow), client, self._tell, self._nap)
        self.left.append(found)
        return found

    def _ask(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return self.answer(request)

    def _mask(self, token: str) -> None:
        assert token.isascii()
        assert token.isprintable()
        assert len(token) <= MAX_TOKEN_LENGTH

    def _tell(self, news: Notice) -> None:
        self.left += [news.text, dict(news.data)]

    def _nap(self, seconds: float) -> None:
        self.naps += 1
        if self.naps > ENOUGH:
            raise Left


def submit(talk: Talk) -> None:
    project: Project = talk.run(organization.find_project("team-a", "embedded"))
    talk.run(submission.generations(BACKEND, project, "train-0123456789"))
    made: Workload = talk.run(submission.create_or_adopt(BACKEND, project, order(NAME)))
    talk.run(submission.verify(BACKEND, made, order(NAME, command="another")))


def watch(talk: Talk) -> None:
    wanted = Workload("", NAME, "", project_id="4501")
    found = talk.run(appearance(WaitPolicy(), partial(newest_named, BACKEND, wanted), wanted))
    talk.run(wait(WaitPolicy(), BACKEND.reader(found), found))


def share(talk: Talk) -> None:
    waits = WatchedSet()
    looks = Looks(waits)
    for listed in talk.run(control_plane.list_workloads([])):
        for _ in range(READS_PER_PAGE + 1):
            waits.add(Watched(listed, 5.0, Watcher()))
    looks.begin()
    talk.run(looks.full(measure=True))
    talk.run(looks.delta(0.0))
    for one in waits:
        talk.run(one.following(one.start, 0.0, Sleep(0)))


def ask_around(talk: Talk) -> None:
    talk.run(organization.list_clusters())
    project: Project = talk.run(organization.find_project("team-a"))
    policy = drivers_only(talk, capacity.effective_policy(project, "trainings"))
    talk.left.append(breaches(policy, {"compute": {"gpuDevicesRequest": 9}}))
    talk.run(capacity.gpus_in_use(project))
    talk.run(capacity.gpus_of_nodes(project.cluster_id, "TOTAL_GPUS"))
    steered = talk.run(control_plane.resolve(project, NAME))
    talk.run(control_plane.suspend(steered))


def drivers_only(talk: Talk, flow: Flow[Any]) -> Any:
    """Run a flow whose result is not shown as it is."""
    found = talk.run(flow)
    talk.left.pop()
    return found


CONVERSATIONS = [submit, watch, share, ask_around]


@pytest.fixture(scope="module")
def recorded() -> Answers:
    """Every answer of the embedded Run:ai, by method, path and list."""
    answers = Answers()
    scenario = Scenario(run_seconds=60, preempt_every=40)
    with serve(
        EmulatorSettings(clock=SteppedClock(), scenarios={"train": scenario}, policy_max_gpus=4)
    ) as runai:
        real = httpx.Client(base_url=runai.url, headers={"Accept": "application/json"})

        def pass_on(request: httpx.Request) -> httpx.Response:
            headers = {
                key: value
                for key, value in request.headers.items()
                if key in ("authorization", "content-type")
            }
            said = real.request(
                request.method,
                request.url.raw_path.decode(),
                content=request.content,
                headers=headers,
            )
            if request.url.path.endswith("/token"):
                said = httpx.Response(
                    200, json=token(runai.url, runai.client_id, runai.client_secret)
                )
            answers[key_of(request)] = (said.status_code, said.json() if said.content else None)
            return httpx.Response(said.status_code, content=said.content)

        first = Talk(pass_on)
        with pytest.raises(RunaiError, match="made from another specification"):
            submit(first)
        runai.advance(500)
        for converse in CONVERSATIONS[1:]:
            converse(Talk(pass_on))
        real.close()
    return answers


def token(url: str, client_id: str, secret: str) -> Any:
    login = {"grantType": "client_credentials", "clientID": client_id, "clientSecret": secret}
    return httpx.post(f"{url}/api/v1/token", json=login).json()


def key_of(request: httpx.Request) -> str:
    deleted = " deleted" if request.url.params.get("deleted") else ""
    return f"{request.method} {request.url.path}{deleted}"


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something hostile can stand: each value, the inner ones too."""
    yield at
    entries = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in entries:
        yield from places(inner, (*at, key))


def put(value: Any, at: tuple[Any, ...], hostile: Any, as_key: bool) -> Any:
    """Return ``value`` with something else at a place, or under another key."""
    if not at:
        return hostile
    (step, *rest), changed = at, value.copy()
    if as_key and not rest and isinstance(value, dict):
        changed[hostile if isinstance(hostile, str) else "odd"] = changed.pop(step)
    else:
        changed[step] = put(value[step], tuple(rest), hostile, as_key)
    return changed


ODD = st.text(
    st.characters(categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Ll", "Po"]),
    max_size=20,
)
HOSTILE = st.one_of(
    ODD,
    st.sampled_from(
        [
            HOSTILE_TEXT,
            "\0",
            "\ud83d",
            "x" * 1_000_000,
            " " * 5_000 + "\x1b",
            "Completed\n",
            "9" * 5_000,
        ]
    ),
    st.sampled_from(
        [10**400, -1, float("nan"), float("inf"), True, None, [], {}, ["\ud83d"], {"\0": "\0"}]
    ),
)


def fit(value: Any) -> None:
    """Refuse what would harm a database, an encoder, a terminal or a page."""
    value = msgspec.to_builtins(value)
    written = msgspec.json.encode(value)
    assert len(written) <= LARGEST
    assert "\\u0000" not in json.dumps(value, allow_nan=False)
    for text in texts(value):
        assert text.isprintable()
        assert len(text) <= LONGEST_TEXT


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (*texts(key), *texts(inner))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts(inner)


def shown(left: Any) -> Any:
    """What others get to see of a result."""
    if isinstance(left, Outcome):
        return [left, left.to_event(), left.to_news(), left.to_result("team-a")]
    return left


def look_at(talk: Talk, error: BaseException | None) -> None:
    for left in talk.left:
        fit(shown(left))
    while error is not None:
        # An error of ours may have several lines; each is shown as one.
        fit(str(error).split("\n"))
        error = error.__cause__
    for url in talk.asked:
        assert "%EF%BF%BD" not in url, "what was altered is never used"
        assert "%E2%80%A6" not in url, "what was cut is never used"


def converse(talk: Talk, conversation: Callable[[Talk], None]) -> None:
    try:
        conversation(talk)
    except (RunaiError, Left) as error:
        look_at(talk, None if isinstance(error, Left) else error)
    else:
        look_at(talk, None)


@pytest.mark.slow
@settings(max_examples=150)
@given(
    data=st.data(),
    conversation=st.sampled_from(CONVERSATIONS),
    hostile=HOSTILE,
    as_key=st.booleans(),
)
def test_nothing_unfit_leaves_whatever_one_place_of_an_answer_holds(
    recorded: Answers,
    data: st.DataObject,
    conversation: Callable[[Talk], None],
    hostile: Any,
    as_key: bool,
) -> None:
    chosen = data.draw(st.sampled_from(sorted(recorded)), "answer")
    status, body = recorded[chosen]
    where = data.draw(st.sampled_from(list(places(body))), "place")
    spoilt = Answers({**recorded, chosen: (status, put(body, where, hostile, as_key))})
    converse(Talk(lambda request: answer(spoilt, request)), conversation)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    words=st.one_of(ODD, st.just(HOSTILE_TEXT), st.just("x" * 100_000)),
    conversation=st.sampled_from(CONVERSATIONS),
)
@example(words=HOSTILE_TEXT, conversation=watch)
def test_nothing_unfit_leaves_if_all_texts_are_hostile_but_names_and_ids(
    recorded: Answers, words: str, conversation: Callable[[Talk], None]
) -> None:
    spoilt = Answers(
        {key: (status, worded(body, words)) for key, (status, body) in recorded.items()}
    )
    converse(Talk(lambda request: answer(spoilt, request)), conversation)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 429, 500, 503])
def test_nothing_unfit_leaves_with_a_refusal(
    recorded: Answers, conversation: Callable[[Talk], None], status: int
) -> None:
    issues = [{"field": HOSTILE_TEXT, "details": HOSTILE_TEXT * 20}] * 20
    body = {key: HOSTILE_TEXT for key in ("message", "details", "error", "error_description")}

    def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return answer(recorded, request)
        words = json.dumps({**body, "complianceIssues": issues})
        headers = {"location": b"http://x/\xe2\x80\xae\x9b31m", "content-type": b"text/\x9b31m\xff"}
        return httpx.Response(
            status, content=words, headers=[(k.encode(), v) for k, v in headers.items()]
        )

    converse(Talk(refuse), conversation)


def answer(known: Answers, request: httpx.Request) -> httpx.Response:
    status, body = known.get(key_of(request), (404, {"message": HOSTILE_TEXT}))
    return httpx.Response(status, content=b"" if body is None else json.dumps(body).encode())


KEPT = ("id", "name", "Id", "uuid", "Token", "token", "requestedName")


def worded(value: Any, words: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: worded(inner, words, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [worded(inner, words, key) for inner in value]
    return words if isinstance(value, str) and not key.endswith(KEPT) else value


@pytest.mark.parametrize(
    "said",
    [
        b"\x1b[31m\x00 no status line\r\n\r\n",
        b"HTTP/1.1 503 \x1b[31m\r\ncontent-type: a\x9b\xff31m\r\ncontent-length: 4\r\n\r\n\x1b[3\x00",
        b"HTTP/1.1 302 Found\r\nlocation: http://\xe2\x80\xae\x1b/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno\x1bheader: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\x1b[31mzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1b\x00ab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n\xff\xfe1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"[" * 100_000,
    ],
)
def test_not_even_a_traceback_is_unfit_whatever_bytes_come(said: bytes) -> None:
    def answer_with(visitor: socket.socket) -> None:
        if visitor.recv(65536):
            visitor.sendall(said)

    with (
        listening(answer_with) as port,
        clients.client(at(port)) as client,
        pytest.raises(RunaiError) as caught,
    ):
        drivers.run(organization.list_clusters(), client)
    fit(str(caught.value))
    assert all(
        line.isprintable() for line in "".join(traceback.format_exception(caught.value)).split("\n")
    )


def test_what_is_recorded_has_the_shapes_that_are_read(recorded: Answers) -> None:
    keys = " ".join(recorded)
    for part in (
        "/token",
        "/clusters",
        "/projects",
        "POST /api/v1/workloads/trainings",
        "/history",
        " deleted",
    ):
        assert part in keys
    assert {status for status, _ in recorded.values()} <= {200, 202}

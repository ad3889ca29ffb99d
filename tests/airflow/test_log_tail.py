"""The companion that writes logs: bounded in a storm, silent where it knows nothing, and never in the way."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import structlog
from airflow.sdk.execution_time.comms import SetXCom

from airflow_runai.backends.settings import Settings
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Notice
from airflow_runai.core.outcome import Outcome, news
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.core.workload import Workload
from airflow_runai.hooks.sessions import one_per_loop, session
from airflow_runai.tasks.kept_lines import KEPT_CHARACTERS
from airflow_runai.tasks.log_fetches import (
    AT_ONCE,
    HELD_CHARACTERS,
    LINES_A_SECOND,
    LINES_AT_ONCE,
    LogFetches,
)
from airflow_runai.tasks.log_tail import LogTail
from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.benchmarks.virtual_loop import VirtualLoop, run

SETTINGS = Settings("https://org.run.ai", "id", "a-secret", cluster_url="https://c.example")


@dataclass
class Wire:
    """
    A control plane and a cluster in place of httpx's transport.

    :param logs: by name of the workload; one without answers 404.
    :param by_pod: logs of pods that are asked for by name; ``None`` for a server that ignores names.
    :param answers: others, by name of the workload.
    :param seconds: that a download takes.
    :param plane_seconds: that an answer of the control plane takes.
    """

    logs: dict[str, str] = field(default_factory=dict)
    by_pod: dict[str, str] | None = None
    answers: dict[str, Callable[[], httpx.Response]] = field(default_factory=dict)
    seconds: float = 0.1
    plane_seconds: float = 0.0
    down: bool = False
    pods: list[dict[str, Any]] = field(default_factory=list)
    pods_asked: int = 0
    asked: list[httpx.URL] = field(default_factory=list)
    busy: int = 0
    most: int = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/token"):
            return httpx.Response(200, json={"access_token": "a-token", "expires_in": 3600})
        if request.url.host != "c.example":
            await asyncio.sleep(self.plane_seconds)
        if path.endswith("/pods"):
            self.pods_asked += 1
            return httpx.Response(200, json={"pods": self.pods})
        if request.url.host == "c.example":
            return await self._download(request)
        return httpx.Response(200, json={"id": "4501", "name": "team-a", "spec": {}})

    async def _download(self, request: httpx.Request) -> httpx.Response:
        """Answer for a cluster."""
        name = request.url.path.split("/")[-3]
        self.asked.append(request.url)
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.busy -= 1
        if self.down:
            raise httpx.ConnectTimeout("too slow", request=request)
        if name in self.answers:
            return self.answers[name]()
        log, pod = self.logs.get(name), request.url.params.get("pod")
        if pod is not None and self.by_pod is not None:
            log = self.by_pod.get(pod)
        return httpx.Response(404, json={}) if log is None else httpx.Response(200, text=log)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()

    async def carry(_: object, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return await made.answer(request)

    monkeypatch.setattr("httpx.AsyncHTTPTransport.handle_async_request", carry)
    return made


def tail(name: str, get_logs: str = "tail", settings: Settings = SETTINGS, **more: Any) -> LogTail:
    workload = Workload(f"id-{name}", name, "Running", "4501", "c-1", "Training")
    return LogTail(settings, workload, get_logs, interval=30.0, **more)


def heard(*phases: str) -> Notice:
    timeline = tuple(Moment(100.0 * at, phase) for at, phase in enumerate(phases, start=1))
    return Notice("timeline", "", news(timeline, clocks(timeline, 9999.0), phases[-1]))


LEAVES = heard("Pending", "Running", "Terminating")
DEPARTS = Notice("departure", "", {"phase": "Terminating", "since": 200.0})


@dataclass
class Told:
    """What went into task logs, with the loop's time."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.lines]


def played(story: Callable[[], Awaitable[None]]) -> Told:
    told = Told()

    async def main(loop: VirtualLoop) -> None:
        def note(_: Any, __: str, event: MutableMapping[str, Any]) -> Any:
            told.lines.append((loop.time(), event["event"] % event.get("positional_args", ())))
            raise structlog.DropEvent

        before = structlog.get_config()["processors"]
        structlog.configure(processors=[note])
        try:
            await story()
        finally:
            structlog.configure(processors=before)

    run(main, counts_work=False)
    return told


@pytest.mark.slow
def test_a_storm_is_bounded_and_nothing_is_lost(wire: Wire) -> None:
    tails = [tail(f"train-{number}") for number in range(200)]
    wire.logs = {f"train-{n}": "".join(f"{n}.{line}\n" for line in range(20)) for n in range(200)}

    async def storm() -> None:
        for one in tails:
            one.hear(LEAVES)
            one.close()
        await asyncio.sleep(60)

    told = played(storm)
    assert wire.most == AT_ONCE
    assert len(wire.asked) == 200
    for begin, _ in told.lines:
        within = [at for at, _ in told.lines if begin <= at < begin + 1.0]
        assert len(within) <= LINES_AT_ONCE + LINES_A_SECOND
    assert len(told.lines) <= LINES_AT_ONCE + LINES_A_SECOND * told.lines[-1][0]
    kept = [line for one in tails for line in one.rest()["kept"]]
    assert sorted([*told.texts, *kept]) == sorted(
        line
        for n in range(200)
        for line in [
            f"log of train-{n}, incarnation 1:",
            *(f"| {n}.{line}" for line in range(20)),
        ]
    )


@asynccontextmanager
async def beside_other_waits() -> AsyncIterator[None]:
    """Keep a session open, which knows the cluster's address."""
    async with session(SETTINGS):
        tail("first").hear(LEAVES)
        await asyncio.sleep(1)
        yield


def test_a_pod_that_goes_does_not_wait_for_a_busy_control_plane(wire: Wire) -> None:
    names = [f"train-{number}" for number in range(20)]
    wire.logs = {name: f"last words of {name}\n" for name in names}
    wire.pods = [{"name": "p", "createdAt": "1970-01-01T00:01:40Z", "nodeName": "node-7"}]

    async def story() -> None:
        async with beside_other_waits():
            wire.plane_seconds = 20.0
            for name in names:
                tail(name).hear(LEAVES)
            await asyncio.sleep(3)
            assert len(wire.asked) >= 21
            wire.logs.clear()
            await asyncio.sleep(1000)

    texts = played(story).texts[1:]
    assert sorted(texts) == sorted(
        line
        for name in names
        for line in (f"log of {name}, incarnation 1 on node-7:", f"| last words of {name}")
    )


@pytest.mark.slow
def test_while_much_waits_to_be_shown_no_more_is_read(wire: Wire) -> None:
    names = [f"train-{number}" for number in range(600)]
    wire.logs = dict.fromkeys(names, ("x" * 320 + "\n") * 100)
    room = HELD_CHARACTERS // (320 * 100)

    async def story() -> None:
        async with beside_other_waits():
            wire.plane_seconds = 100.0
            for name in names:
                tail(name).hear(LEAVES)
            await asyncio.sleep(90)
            assert room < len(wire.asked) - 1 <= room + AT_ONCE
            await asyncio.sleep(100_000)

    played(story)
    assert {url.path.split("/")[-3] for url in wire.asked} == {"first", *names}


def test_what_is_kept_for_the_worker_is_bounded_and_the_rest_is_counted(wire: Wire) -> None:
    one = tail("train")
    wire.logs["train"] = "x" * 800 + "\n" + ("y" * 300 + "\n") * 99
    phases = ["Pending"]

    async def story() -> None:
        for _ in range(6):
            phases.append("Running")
            one.hear(heard(*phases))
            phases.append("Terminating")
            one.hear(heard(*phases))
            await asyncio.sleep(0.2)
            phases.append("Pending")

    told = played(story)
    rest = one.rest()
    assert len(told.lines) == 2 * 101, "one of the six at once, and one a little later"
    assert sum(map(len, rest["kept"])) <= KEPT_CHARACTERS
    assert len(rest["kept"]) + rest["left_out"] == 4 * 101


def test_what_left_and_came_back_between_two_looks_is_asked_for_by_its_pod(wire: Wire) -> None:
    wire.logs["train"] = "bang"
    wire.pods = [
        {"name": "first", "createdAt": 150.0, "nodeName": "node-7"},
        {"name": "second", "createdAt": 350.0, "nodeName": "node-8"},
    ]
    one = tail("train")

    async def story() -> None:
        one.hear(heard("Pending", "Running"))
        one.hear(heard("Pending", "Running", "Pending", "Running"))
        await asyncio.sleep(1)

    assert played(story).texts == ["log of train, incarnation 1 on node-7:", "| bang"]
    assert wire.asked[0].params["pod"] == "first"


def test_what_a_pod_said_is_read_before_its_history_and_shown_after_it(wire: Wire) -> None:
    wire.logs["train"] = "last words\n"

    async def story() -> None:
        one = tail("train")
        one.hear(DEPARTS)
        await asyncio.sleep(2)
        del wire.logs["train"]
        await asyncio.sleep(50)
        one.hear(heard("Pending", "Running", "Pending", "Running", "Pending"))
        await asyncio.sleep(100)

    told = played(story)
    assert told.texts == ["log of train, incarnation 2:", "| last words"]
    assert told.lines[0][0] >= 52.0
    assert len(wire.asked) == 3, "at 0 and 1 seconds, and at 3, when it was gone"


def test_what_was_gone_too_early_is_told_with_its_number(wire: Wire) -> None:
    async def story() -> None:
        one = tail("train")
        one.hear(DEPARTS)
        await asyncio.sleep(2)
        one.hear(heard("Pending", "Running", "Pending"))
        await asyncio.sleep(1)

    (text,) = played(story).texts
    assert text.startswith("the log of incarnation 1 is gone with its pod")


def test_what_the_next_incarnation_says_is_not_shown_as_the_last_words(wire: Wire) -> None:
    wire.logs["train"] = "bang"
    wire.pods = [
        {"name": "first", "createdAt": 150.0, "nodeName": "node-7"},
        {"name": "second", "createdAt": 350.0, "nodeName": "node-8"},
    ]

    async def story() -> None:
        one = tail("train")
        one.hear(DEPARTS)
        await asyncio.sleep(0.5)
        # By the clock, the next one ran long ago when the log was read.
        one.hear(heard("Pending", "Running", "Terminating", "Pending", "Running"))
        await asyncio.sleep(1)

    assert played(story).texts == ["log of train, incarnation 1 on node-7:", "| bang"]
    assert [url.params.get("pod") for url in wire.asked] == [None, "first"]


FIRST = {"name": "first", "createdAt": 150.0, "nodeName": "node-7"}
BACK = ("Pending", "Running", "Terminating", "Pending", "Running")


def replaced(wire: Wire, log: str, *, honours: bool = True) -> None:
    """Let the next pod run, of which the wait knows nothing yet."""
    started = {"nodeName": "node-8", "containers": [{"startedAt": time.time()}]}
    wire.pods = [{**FIRST, "deletedAt": 340.0}, {"name": "second", "createdAt": 350.0, **started}]
    wire.logs["train"] = log
    wire.by_pod = {"second": log} if honours else None


@pytest.mark.slow
@pytest.mark.parametrize("honours", [True, False], ids=["named", "names ignored"])
@pytest.mark.parametrize("get_logs", ["tail", "follow"])
@pytest.mark.parametrize("plane", [0.0, 2.0], ids=["quick plane", "busy plane"])
def test_a_look_that_is_repeated_when_the_next_pod_runs_shows_none_of_its_lines(
    wire: Wire, get_logs: str, honours: bool, plane: float
) -> None:
    wire.logs = {"train": "start\nstep 7\n", "first": "another\n"}
    wire.pods = [FIRST]

    async def story() -> None:
        async with beside_other_waits():
            one = tail("train", get_logs)
            one.hear(heard("Pending", "Running"))
            await asyncio.sleep(100)
            wire.plane_seconds = plane
            one.hear(LEAVES)
            await asyncio.sleep(0.5)
            replaced(wire, "start\nresumed\n", honours=honours)
            await asyncio.sleep(60)
            one.hear(heard(*BACK))
            await asyncio.sleep(60)
            one.hear(heard(*BACK, "Terminating"))
            await asyncio.sleep(60)

    assert [text for text in played(story).texts if "another" not in text][1:] == [
        *("log of train, incarnation 1 on node-7:", "| start", "| step 7"),
        *("log of train, incarnation 2 on node-8:", "| start", "| resumed"),
    ]


@pytest.mark.parametrize("get_logs", ["tail", "follow"])
def test_a_first_look_that_comes_when_the_next_pod_runs_shows_none_of_its_lines(
    wire: Wire, get_logs: str
) -> None:
    async def story() -> None:
        replaced(wire, "start\nresumed\n")
        one = tail("train", get_logs)
        one.hear(LEAVES)
        await asyncio.sleep(20)
        one.hear(heard(*BACK))
        await asyncio.sleep(20)
        one.hear(heard(*BACK, "Terminating"))
        await asyncio.sleep(20)

    gone, *texts = played(story).texts
    assert gone.startswith("the log of incarnation 1 is gone with its pod")
    assert texts == ["log of train, incarnation 2 on node-8:", "| start", "| resumed"]


def test_what_is_followed_is_not_taken_for_an_incarnation_that_is_gone(wire: Wire) -> None:
    wire.logs["train"], wire.pods = "start\n", [FIRST]

    async def story() -> None:
        one = tail("train", "follow")
        one.hear(heard("Pending", "Running"))
        await asyncio.sleep(10)
        replaced(wire, "start\nresumed\n")
        await asyncio.sleep(30)
        one.hear(heard(*BACK))
        await asyncio.sleep(60)

    texts = [text for text in played(story).texts if "is gone with its pod" not in text]
    assert texts == [
        *("log of train, incarnation 1 on node-7:", "| start"),
        *("log of train, incarnation 2 on node-8:", "| start", "| resumed"),
    ]


def test_what_goes_on_in_another_pod_of_the_same_incarnation_is_followed(wire: Wire) -> None:
    wire.logs["train"], wire.pods = "start\n", [FIRST]

    async def story() -> None:
        one = tail("train", "follow")
        one.hear(heard("Pending", "Running"))
        await asyncio.sleep(10)
        replaced(wire, "start again\n")
        await asyncio.sleep(90)

    assert played(story).texts == [
        *("log of train, incarnation 1 on node-7:", "| start"),
        *("| (lines may be missing here)", "| start again"),
    ]


def test_a_wait_that_is_moved_leaves_nothing_held(wire: Wire) -> None:
    wire.logs["train"] = "last words\n"

    async def story() -> None:
        one = tail("train")
        one.hear(DEPARTS)
        await asyncio.sleep(0.5)
        assert one_per_loop(LogFetches)._held > 0
        one.close()
        await asyncio.sleep(1)
        assert one_per_loop(LogFetches)._held == 0

    assert played(story).texts == []


def test_a_wait_that_begins_again_asks_for_nothing_that_is_over(wire: Wire) -> None:
    async def story() -> None:
        one = tail("train")
        one.hear(heard("Pending", "Running", "Terminating", "Pending"))
        one.hear(Notice("trouble", "the platform answers again"))
        await asyncio.sleep(100)

    assert played(story).texts == []
    assert wire.asked == []


def test_a_log_that_is_gone_is_told_for_each_incarnation(wire: Wire) -> None:
    async def story() -> None:
        tail("train").hear(LEAVES)
        await asyncio.sleep(1)

    (text,) = played(story).texts
    assert text.startswith(
        "the log of incarnation 1 is gone with its pod (GET https://c.example: 404"
    )


def test_one_time_out_is_enough_for_all(wire: Wire) -> None:
    wire.down = True
    tails = [tail(f"train-{number}") for number in range(50)]

    async def story() -> None:
        for one in tails:
            one.hear(LEAVES)
        await asyncio.sleep(30)
        for one in tails:
            one.hear(heard("Pending", "Running", "Pending", "Running", "Terminating"))
        await asyncio.sleep(10)

    told = played(story)
    assert len(wire.asked) == AT_ONCE
    assert len(told.lines) == 50, "each task log says it, once"
    assert all("ConnectTimeout" in text and "the wait goes on" in text for text in told.texts)
    assert all(one.rest()["kept"] == [] for one in tails)


@pytest.mark.slow
def test_followed_over_two_incarnations_no_line_comes_twice(wire: Wire) -> None:
    one = tail("train", "follow")
    wire.logs["train"] = "a\n"

    async def story() -> None:
        one.hear(heard("Pending", "Running"))
        await asyncio.sleep(10)
        wire.logs["train"] = "a\nb\n"
        await asyncio.sleep(60)
        wire.logs["train"] = "a\nb\nc\n"
        one.hear(LEAVES)
        await asyncio.sleep(60)
        wire.logs["train"] = "a\n"
        one.hear(heard("Pending", "Running", "Terminating", "Pending", "Running"))
        await asyncio.sleep(1)
        one.close()
        await asyncio.sleep(1000)

    head = "log of train, incarnation"
    assert played(story).texts == [*(f"{head} 1:", "| a", "| b", "| c", f"{head} 2:", "| a")]
    assert (one.rest()["number"], one.rest()["count"]) == (2, 1)


def test_the_last_words_of_what_leaves_are_heard_until_its_pod_is_gone(wire: Wire) -> None:
    wire.logs["train"] = "step 7\n"
    wire.seconds = 0.0

    async def story() -> None:
        one = tail("train")
        one.hear(LEAVES)
        await asyncio.sleep(2)
        wire.logs["train"] = "step 7\nsaved\n"
        await asyncio.sleep(2)
        del wire.logs["train"]
        await asyncio.sleep(100)

    assert played(story).texts == ["log of train, incarnation 1:", "| step 7", "| saved"]
    assert len(wire.asked) == 4, "at 0, 1, 3 and 7 seconds"


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_has_left_is_looked_at_once_more(wire: Wire, is_kept: bool) -> None:
    """What it said after the look before is read if its log is still there."""
    wire.logs["train"] = "step 7\n"

    async def story() -> None:
        one = tail("train")
        one.hear(LEAVES)
        await asyncio.sleep(0.5)
        wire.logs["train"] += "saved\n"
        if not is_kept:
            del wire.logs["train"]
        one.hear(heard("Pending", "Running", "Terminating", "Pending"))
        await asyncio.sleep(100)

    lines = ["log of train, incarnation 1:", "| step 7", *(["| saved"] if is_kept else [])]
    assert played(story).texts == lines
    assert len(wire.asked) == 2


def test_what_comes_after_the_wait_is_left_to_the_worker(wire: Wire) -> None:
    one = tail("train", "follow")
    wire.logs["train"] = "a\n"

    async def story() -> None:
        one.hear(heard("Pending", "Running"))
        await asyncio.sleep(0)
        one.close()
        await asyncio.sleep(10)

    assert played(story).texts == []
    assert (len(wire.asked), one.rest()["count"]) == (1, 0)


def test_what_runs_already_is_followed_from_here_on(wire: Wire) -> None:
    one = tail("train", "follow")
    wire.logs["train"] = "old\n"

    async def story() -> None:
        one.hear(Notice("sighting", ""))
        await asyncio.sleep(75)
        wire.logs["train"] = "old\nnew\n"
        await asyncio.sleep(60)
        wire.logs["train"] = "old\nnew\nlast\n"
        one.hear(LEAVES)
        await asyncio.sleep(1)

    assert played(story).texts == [
        "the log is followed from here on; what came before may be missing above",
        *("log of train:", "| new", "log of train, incarnation 1:", "| last"),
    ]


@pytest.mark.parametrize("get_logs", ["tail", "follow"])
def test_the_tab_shows_the_end_of_an_incarnation_at_once(wire: Wire, get_logs: str) -> None:
    shown: list[Any] = []
    wire.logs["train"] = "a\n"
    wire.pods = [{"name": "p", "createdAt": "1970-01-01T00:01:40Z", "nodeName": "node-7"}]

    async def story() -> None:
        one = tail("train", get_logs, show=lambda *given: shown.append(given))
        one.hear(heard("Pending", "Running"))
        await asyncio.sleep(100)
        assert shown == [], "nothing was published yet"
        wire.logs["train"] = "a\nbang\n"
        one.hear(LEAVES)
        await asyncio.sleep(0.5)

    played(story)
    assert shown == [(LEAVES.data, (("a", "bang"), 1, "node-7"), True)]


def test_what_is_followed_is_shown_in_the_tab_when_there_is_time(wire: Wire) -> None:
    shown: list[Any] = []
    running = heard("Pending", "Running")
    wire.pods = [{"name": "p", "createdAt": "1970-01-01T00:01:40Z", "nodeName": "node-7"}]

    async def story() -> None:
        one = tail("train", "follow", show=lambda *given: shown.append(given))
        one.published(running.data)
        one.hear(running)
        for log in ("a\n", "a\n", "a\nb\n"):
            wire.logs["train"] = log
            await asyncio.sleep(30)

    played(story)
    assert shown == [
        (running.data, (("a",), 1, "node-7"), False),
        (running.data, (("a", "b"), 1, "node-7"), False),
    ]


async def after_another_workloads_trouble(wire: Wire, answer: Callable[[], httpx.Response]) -> None:
    wire.answers["bad"] = answer
    wire.logs["good"] = "good\n"
    tail("bad").hear(LEAVES)
    await asyncio.sleep(0.5)
    tail("good").hear(LEAVES)
    await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(404, text="404 page not found"),
        lambda: httpx.Response(500, json={"message": "container not found"}),
        lambda: httpx.Response(302, headers={"location": "https://sso.example"}),
        lambda: httpx.Response(200, html="<h1>Sign in</h1>"),
        lambda: httpx.Response(200, content=b"x\n" * 9 * 2**20),
    ],
    ids=["404", "500", "302", "page", "too long"],
)
def test_what_one_workload_is_answered_is_no_outage(
    wire: Wire, answer: Callable[[], httpx.Response]
) -> None:
    texts = played(lambda: after_another_workloads_trouble(wire, answer)).texts
    assert texts[-2:] == ["log of good, incarnation 1:", "| good"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_of_a_gateway_is_an_outage(wire: Wire, status: int) -> None:
    texts = played(
        lambda: after_another_workloads_trouble(wire, lambda: httpx.Response(status))
    ).texts
    assert "could not be reached a moment ago" in texts[-1]


def test_an_address_that_is_none_is_a_sentence(wire: Wire) -> None:
    broken = dataclasses.replace(SETTINGS, cluster_url="https://münchen_.example")

    async def story() -> None:
        one = tail("train", "follow", broken)
        one.hear(heard("Pending", "Running"))
        await asyncio.sleep(100)
        assert one.rest()["complaint"]

    (text,) = played(story).texts
    assert text.startswith("the log of train cannot be read (")
    assert text.endswith("; the wait goes on")


def test_what_nobody_has_thought_of_is_a_sentence(wire: Wire) -> None:
    wire.answers["train"] = lambda: [][0]

    async def story() -> None:
        tail("train").hear(LEAVES)
        await asyncio.sleep(100)

    (text,) = played(story).texts
    assert text == (
        "the log of train cannot be read (IndexError: list index out of range); the wait goes on"
    )


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404])
def test_complaints_of_a_storm_are_bounded_and_none_is_lost(wire: Wire, status: int) -> None:
    names = [f"train-{number}" for number in range(200)]
    tails = [tail(name) for name in names]
    wire.answers = dict.fromkeys(names, lambda: httpx.Response(status, json={}))
    wire.seconds = 0.01

    async def storm() -> None:
        for one in tails:
            one.hear(LEAVES)
        await asyncio.sleep(100)

    told = played(storm)
    begin = told.lines[0][0]
    assert told.lines[-1][0] < begin + 1
    assert len(told.lines) <= LINES_AT_ONCE + LINES_A_SECOND
    kept = [line for one in tails for line in one.rest()["kept"]]
    assert len(told.lines) + len(kept) == 200


@pytest.mark.slow
def test_the_node_is_asked_once_an_incarnation_and_only_for_lines(wire: Wire) -> None:
    one = tail("train", "follow")
    wire.pods = [{"name": "p", "createdAt": "1970-01-01T00:01:40Z", "nodeName": "node-7"}]
    wire.logs["train"] = ""
    asked: list[int] = []

    async def story() -> None:
        one.hear(heard("Pending", "Running"))
        for log in ("", "a\n", "a\n", "a\nb\n"):
            wire.logs["train"] = log
            await asyncio.sleep(60)
            asked.append(wire.pods_asked)

    assert played(story).texts == ["log of train, incarnation 1 on node-7:", "| a", "| b"]
    assert asked == [0, 1, 1, 1]


def test_what_is_deleted_while_it_runs_leaves_its_tail(wire: Wire) -> None:
    wire.logs["train"] = "last words\n"

    async def story() -> None:
        one = tail("train")
        one.hear(heard("Pending", "Running"))
        one.hear(heard("Pending", "Running", "Deleting"))
        one.close()
        await asyncio.sleep(1)

    assert played(story).texts == ["log of train, incarnation 1:", "| last words"]


def test_what_is_deleted_while_it_waits_is_not_asked_for(wire: Wire) -> None:
    async def story() -> None:
        one = tail("train")
        one.hear(heard("Pending", "Running"))
        one.hear(heard("Pending", "Running", "Pending"))
        await asyncio.sleep(1)
        one.hear(heard("Pending", "Running", "Pending", "Deleting"))
        await asyncio.sleep(1)

    played(story)
    assert len(wire.asked) == 1


def test_what_ends_while_its_tail_is_fetched_is_left_to_the_worker(wire: Wire) -> None:
    wire.logs["train"] = "last words\n"
    one = tail("train")

    async def story() -> None:
        one.hear(LEAVES)
        await asyncio.sleep(0)
        one.hear(heard("Pending", "Running", "Terminating", "Failed"))
        one.close()
        await asyncio.sleep(1)

    assert played(story).texts == []
    assert (len(wire.asked), one.rest()["number"]) == (1, 0)


def test_a_long_last_line_does_not_hide_the_log(wire: Wire) -> None:
    wire.logs["train"] = "Traceback\n" + "x" * 33_000 + "\n"

    async def story() -> None:
        tail("train").hear(LEAVES)
        await asyncio.sleep(0.5)

    assert played(story).texts[1:] == ["| Traceback", f"| {'x' * 999}…"]


@pytest.mark.slow
def test_a_log_of_equal_lines_is_shown_once(wire: Wire) -> None:
    wire.logs["train"] = "waiting\n" * 2000

    async def story() -> None:
        tail("train").hear(LEAVES)
        await asyncio.sleep(100)

    assert played(story).texts == ["log of train, incarnation 1:", *["| waiting"] * 100]


def test_of_a_distributed_training_the_leader_is_named(wire: Wire) -> None:
    wire.pods = [
        {"name": f"train-{role}", "createdAt": f"1970-01-01T00:01:4{at}Z", "nodeName": role}
        for at, role in enumerate(["worker-0", "master-0", "worker-1"])
    ]
    wire.logs["train"] = "a\n"
    workload = Workload("id", "train", "Running", "4501", "c-1", "Distributed")

    async def story() -> None:
        one = LogTail(SETTINGS, workload, "tail", interval=30.0)
        one.hear(heard("Pending", "Running"))
        one.hear(heard("Pending", "Running", "Pending", "Running"))
        await asyncio.sleep(1)

    assert played(story).texts == ["log of train, incarnation 1 on master-0:", "| a"]
    assert wire.asked[0].params["pod"] == "train-master-0"


class Supervisor:
    """Stands for Airflow's supervisor; keeps what is written for the tab."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    async def asend(self, message: Any) -> Any:
        if isinstance(message, SetXCom):
            self.written.append(message.value)


class Preempted(RunaiWorkloadTrigger):
    """A wait that hears of a preemption, and ends after some time."""

    seconds = 100.0

    async def _wait(self) -> Outcome:
        phases = ["Pending"]
        for phase in ("Running", "Terminating", "Pending"):
            phases.append(phase)
            await self._report(heard(*phases))
        await asyncio.sleep(self.seconds)
        return Outcome("gone", "id", "train", "", "", 400.0, clocks((), 400.0), ())


@pytest.fixture
def preempted(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Preempted:
    from airflow.sdk.execution_time import task_runner

    connection = {
        "conn_type": "runai",
        "host": "https://org.run.ai",
        "login": "id",
        "password": "a-secret",
        "extra": {"cluster_url": "https://c.example"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PLAYED", json.dumps(connection))
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
    wire.logs["train"] = "last words\n"
    workload = Workload("id", "train", "Running", "4501", "c-1", "Training").to_json()
    made = Preempted(
        "played", workload, WaitPolicy(30.0).to_json(), min_defer_seconds=0.0, get_logs="tail"
    )
    made.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)  # type: ignore[assignment]
    return made


def written_by(trigger: Preempted) -> list[Any]:
    from airflow.sdk.execution_time import task_runner

    async def story() -> None:
        assert [event async for event in trigger.run()]
        await asyncio.sleep(200)

    assert played(story).texts[-1] == "| last words"
    assert trigger._tail is not None
    assert trigger._tail._news is None, "news are not held while nothing is looked at"
    comms: Any = task_runner.SUPERVISOR_COMMS
    return list(comms.written)


def test_a_tail_that_comes_late_takes_no_news_back(wire: Wire, preempted: Preempted) -> None:
    wire.seconds = 3.0
    *_, last = written_by(preempted)
    assert (last["phase"], last["log_tail"]) == ("Pending", ["last words"])


def test_after_the_wait_the_tab_is_the_workers(wire: Wire, preempted: Preempted) -> None:
    wire.seconds, preempted.seconds = 3.0, 1.0
    assert all("log_tail" not in news for news in written_by(preempted))

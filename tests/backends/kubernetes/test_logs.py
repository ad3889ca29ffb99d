"""The end of a pod's log, and each new line once, whatever the connection does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_runai.backends.kubernetes.logs.pod_log import SILENCE, PodLog, PodLogEnd, follow, tail
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.log_cursor import LogCursor, LogLine
from airflow_runai.core.log_reader import LogQuery
from airflow_runai.errors import Forbidden, NotFound, Refused, Unreachable
from tests.backends.flows import Flows, Running, Stream
from tests.backends.kubernetes.world import status

LOG = PodLog("team-a", "train-1-x", "uid-1", "main")
GONE = status(404, 'pods "train-1-x" not found', "NotFound", name="train-1-x", kind="pods")
WAITS = status(400, 'container "main" in pod "train-1-x" is waiting to start: ContainerCreating')


def line(second: int, text: str) -> bytes:
    return f"2026-11-26T13:50:{second:02d}.5Z {text}".encode()


class Node:
    """Serves one log."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, bytes]] = []
        self.reply: Callable[[Request], Reply] = lambda request: Reply(200, 0.0)
        self.flows = Flows(lambda request: self.reply(request), stream=self.stream)
        self.streams: list[Stream] = []
        self.has_ended = False

    def write(self, second: int, text: str) -> None:
        self.lines.append((second, line(second, text)))
        for stream in self.streams:
            stream.put(self.lines[-1][1])

    def stream(self, request: Request) -> Stream:
        stream = Stream()
        params = dict(request.params)
        since = int(params["sinceTime"][17:19]) if "sinceTime" in params else 0
        chosen = [raw for second, raw in self.lines if second >= since]
        for raw in chosen[-int(params.get("tailLines", len(chosen) or 1)) :]:
            stream.put(raw)
        if self.has_ended:
            stream.put(None)
        else:
            self.streams.append(stream)
        return stream

    def cut(self) -> None:
        streams, self.streams = self.streams, []
        for stream in streams:
            stream.put(None)

    def end(self) -> None:
        self.has_ended = True
        self.cut()


class Following:
    def __init__(
        self, node: Node, cursor: LogCursor | None = None, first: int | None = None
    ) -> None:
        self.seen: list[LogLine] = []
        flow = follow(LOG, cursor or LogCursor("uid-1"), self.take, first)
        self.node, self.one = node, node.flows.start(flow)

    def take(self, found: LogLine) -> Flow[None]:
        yield from ()
        self.seen.append(found)

    def texts(self, seconds: float = 0) -> list[str]:
        self.node.flows.run(seconds)
        return [("(gap) " if found.has_gap else "") + found.text for found in self.seen]


def test_lines_are_handed_over_as_they_come() -> None:
    node = Node()
    node.write(1, "old")
    following = Following(node)
    assert following.texts() == ["old"]
    node.write(2, "new")
    assert following.texts() == ["old", "new"]
    request = node.flows.asked[0][1]
    assert request.path == "/api/v1/namespaces/team-a/pods/train-1-x/log"
    assert dict(request.params) == {"container": "main", "timestamps": "true", "follow": "true"}


def test_a_broken_connection_repeats_and_loses_nothing() -> None:
    node = Node()
    following = Following(node)
    following.texts()
    node.write(1, "a")
    node.write(1, "b")
    following.texts()
    node.cut()
    node.write(1, "c")
    node.write(2, "d")
    assert following.texts(5) == ["a", "b", "c", "d"]
    assert dict(node.flows.asked[1][1].params)["sinceTime"] == "2026-11-26T13:50:01Z"


def test_a_log_that_was_turned_over_shows_a_gap() -> None:
    node = Node()
    node.write(1, "a")
    following = Following(node)
    following.texts()
    node.cut()
    node.lines = []
    node.write(9, "later")
    assert following.texts(5) == ["a", "(gap) later"]


def test_it_ends_when_the_container_has_ended() -> None:
    node = Node()
    node.write(1, "a")
    following = Following(node)
    following.texts()
    node.write(2, "last words")
    node.end()
    assert following.texts(10) == ["a", "last words"]
    assert following.one.is_done
    assert following.one.result == following.seen[-1].cursor
    assert len(node.flows.asked) == 2


def test_it_goes_on_from_a_cursor_of_earlier() -> None:
    node = Node()
    for second in range(1, 5):
        node.write(second, str(second))
    first = Following(node)
    first.texts()
    again = Following(node, first.seen[1].cursor)
    assert again.texts() == ["3", "4"]


def test_without_a_cursor_it_can_begin_near_the_end() -> None:
    node = Node()
    for second in range(1, 30):
        node.write(second, str(second))
    following = Following(node, first=2)
    assert following.texts() == ["28", "29"]


def test_a_pod_that_is_gone_is_told() -> None:
    node = Node()
    node.write(1, "a")
    following = Following(node)
    following.texts()
    node.reply = lambda request: Reply(404, 0.0, GONE)
    node.cut()
    assert following.texts(5) == ["a"]
    assert isinstance(following.one.error, NotFound)


def test_a_training_that_says_nothing_for_long_is_asked_again_without_a_word() -> None:
    node = Node()
    following = Following(node)
    following.texts(3 * SILENCE + 10)
    node.write(1, "at last")
    assert following.texts(1) == ["at last"]
    assert len(node.flows.asked) == 4


def test_an_api_server_that_is_away_for_a_while_is_outlasted() -> None:
    node = Node()
    node.write(1, "a")
    following = Following(node)
    following.texts()

    def away(request: Request) -> Reply:
        raise Unreachable("nobody there")

    node.reply = away
    node.cut()
    following.texts(300)
    assert not following.one.is_done
    node.reply = lambda request: Reply(200, 0.0)
    node.write(2, "b")
    assert following.texts(120) == ["a", "b"]


def test_a_log_that_does_not_exist_yet_ends_at_once() -> None:
    for answer in (Reply(400, 0.0, WAITS), Reply(204, 0.0)):
        node = Node()
        node.has_ended = True
        node.reply = lambda request, answer=answer: answer  # type: ignore[misc]
        following = Following(node)
        assert following.texts(5) == []
        assert following.one.result == LogCursor("uid-1")


def test_a_right_that_is_missing_is_told() -> None:
    node = Node()
    node.reply = lambda request: Reply(403, 0.0, status(403, "is forbidden", "Forbidden"))
    assert isinstance(finished(node, following=True).error, Forbidden)
    assert isinstance(finished(node, following=False).error, Forbidden)


def finished(node: Node, *, following: bool, lines: int = 2) -> Running:
    flow: Flow[Any] = (
        follow(LOG, LogCursor("uid-1"), lambda found: iter(()))  # type: ignore[arg-type, return-value]
        if following
        else tail(LOG, LogQuery(tail=lines))
    )
    one = node.flows.start(flow)
    node.flows.run(60)
    return one


def answering(content: bytes, code: int = 200) -> Callable[[Request], Reply]:
    def reply(request: Request) -> Reply:
        assert request.decode
        return Reply(code, 0.0, request.decode(bytearray(content)) if content else None)

    return reply


def test_the_tail_is_the_last_lines() -> None:
    node = Node()
    node.reply = answering(line(1, "a") + b"\n" + line(2, "b\r60%") + b"\n")
    assert [found.text for found in finished(node, following=False).result.lines] == ["a", "60%"]
    request = node.flows.asked[0][1]
    assert dict(request.params)["tailLines"] == "2"
    assert request.keep


@pytest.mark.parametrize(
    "answer", [answering(b""), answering(b"", 204), lambda _: Reply(400, 0.0, WAITS)]
)
def test_a_log_that_is_empty_or_not_there_yet_has_no_tail(answer: Any) -> None:
    node = Node()
    node.reply = answer
    assert finished(node, following=False).result == PodLogEnd()


def test_other_refusals_of_a_tail_are_told() -> None:
    node = Node()
    node.reply = lambda request: Reply(400, 0.0, status(400, "container main is not valid for pod"))
    assert isinstance(finished(node, following=False).error, Refused)
    node.reply = lambda request: Reply(404, 0.0, GONE)
    assert isinstance(finished(node, following=False).error, NotFound)


def test_half_a_line_at_the_beginning_of_a_long_tail_is_left_out() -> None:
    node = Node()
    node.reply = answering(b"secret-part" + b"x" * 1024 * 1024 + b"\n" + line(2, "b") + b"\n")
    assert [found.text for found in finished(node, following=False).result.lines] == ["b"]

"""A flow reads a body line by line, over a real socket, and both drivers treat it alike."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.backends import drivers
from airflow_runai.backends.streams import LineBuffer
from airflow_runai.core.flow import Flow, NextLine, Open, Reply, Request, Sleep
from airflow_runai.errors import Silent, Unreachable
from tests.backends.scripted import CUT, LAST, Asked, ScriptedServer, chunk, opening, whole
from tests.support.patience import PATIENCE
from tests.support.waiting import eventually, wait_until

T = TypeVar("T")


def blocking(flow: Flow[T], server: ScriptedServer) -> T:
    with httpx.Client(base_url=server.url) as client:
        return drivers.run(flow, client)


def awaiting(flow: Flow[T], server: ScriptedServer) -> T:
    async def main() -> T:
        async with httpx.AsyncClient(base_url=server.url) as client:
            return await drivers.arun(flow, client)

    return asyncio.run(main())


both = pytest.mark.parametrize("run", [blocking, awaiting])


def read(silence: float = PATIENCE, limit: int = 1000, path: str = "/stream") -> Flow[list[Any]]:
    """Return the status and all lines."""
    reply = yield Open(Request("GET", path), silence, limit)
    lines = [reply.status]
    while (line := (yield NextLine()).body) is not None:
        lines.append(line)
    return lines


@both
@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([chunk(b"one\ntwo\n"), LAST], [b"one", b"two"]),
        ([chunk(b"o"), chunk(b"ne\n\ntw"), chunk(b"o\n"), LAST], [b"one", b"", b"two"]),
        ([chunk(b"one\nend without newline"), LAST], [b"one", b"end without newline"]),
        ([LAST], []),
        ([chunk(b"one\nhal"), b"ff\r\nbroken in a chunk", CUT], [b"one"]),
        ([chunk(b"one\nhalf a line"), CUT], [b"one"]),
        ([CUT], []),
        ([chunk(b"x" * 2500), chunk(b"y" * 10 + b"\nnext\n"), LAST], [b"x" * 1000, b"next"]),
    ],
)
def test_lines_come_one_by_one_and_a_break_is_an_end(
    run: Any, pieces: list[Any], lines: list[bytes]
) -> None:
    with ScriptedServer(lambda asked: [opening(), *pieces]).listening() as server:
        assert run(read(), server) == [200, *lines]
        assert server.asked[0].headers["accept-encoding"] == "identity"


@both
def test_lines_that_were_sent_are_there_before_the_stream_ends(run: Any) -> None:
    seen = threading.Event()

    def answer(asked: Asked) -> Iterator[bytes]:
        yield opening()
        yield chunk(b"live\n")
        assert seen.wait(PATIENCE)
        yield LAST

    def flow() -> Flow[bytes]:
        yield Open(Request("GET", "/stream"), PATIENCE)
        line = (yield NextLine()).body
        seen.set()
        assert (yield NextLine()).body is None
        return bytes(line)

    with ScriptedServer(answer).listening() as server:
        assert run(flow(), server) == b"live"


@both
def test_a_stream_that_falls_silent_is_told_apart(run: Any) -> None:
    over = threading.Event()

    def answer(asked: Asked) -> Iterator[bytes]:
        yield opening()
        yield chunk(b"one\n")
        over.wait(PATIENCE)

    with ScriptedServer(answer).listening() as server:
        with pytest.raises(Silent, match="GET /stream: silent for too long"):
            run(read(silence=0.2), server)
        over.set()


@both
def test_a_refusal_comes_whole_and_opens_nothing(run: Any) -> None:
    def flow() -> Flow[tuple[Reply, Reply]]:
        return (yield Open(Request("GET", "/stream"), PATIENCE)), (yield NextLine())

    def answer(asked: Asked) -> Iterable[bytes]:
        return [whole({"kind": "Status", "code": 410}, 410)]

    with ScriptedServer(answer).listening() as server:
        refusal, line = run(flow(), server)
    assert (refusal.status, refusal.body) == (410, {"kind": "Status", "code": 410})
    assert line.body is None


@both
def test_a_page_instead_of_a_refusal_is_not_read_to_its_end(run: Any) -> None:
    def answer(asked: Asked) -> Iterator[bytes]:
        yield opening(502)
        while True:
            yield chunk(b"x" * 30_000)

    with ScriptedServer(answer).listening() as server:
        lines = run(read(), server)
        wait_until(lambda: server.hung_up)
    assert lines == [502]


@both
def test_nobody_to_open_a_stream_is_unreachable(run: Any) -> None:
    with ScriptedServer(lambda asked: [CUT]).listening() as server, pytest.raises(Unreachable):
        run(read(), server)


class Bug(Exception):
    """Not meant to happen."""


def returning() -> Flow[None]:
    yield Open(Request("GET", "/stream"), PATIENCE)
    yield NextLine()


def raising() -> Flow[None]:
    yield from returning()
    raise Bug


def opening_another() -> Flow[None]:
    yield from returning()
    yield from returning()
    yield Request("GET", "/whole")


@both
@pytest.mark.parametrize("flow", [returning, raising, opening_another])
def test_however_a_flow_goes_on_its_stream_is_closed(run: Any, flow: Any) -> None:
    over = threading.Event()

    def answer(asked: Asked) -> Iterator[bytes]:
        if asked.path == "/whole":
            # The first stream has been closed by the second one, which is still open.
            wait_until(lambda: server.hung_up == 1)
            yield whole({})
            return
        yield opening()
        yield chunk(b"one\n")
        while not over.wait(0.02):
            yield chunk(b"more\n")

    with ScriptedServer(answer).listening() as server:
        try:
            run(flow(), server)
        except Bug:
            assert flow is raising
        wait_until(lambda: server.hung_up >= (2 if flow is opening_another else 1))
        over.set()


def test_cancellation_closes_the_stream() -> None:
    over = threading.Event()

    def answer(asked: Asked) -> Iterator[bytes]:
        yield opening()
        while not over.wait(0.02):
            yield chunk(b"more\n")

    async def main(server: ScriptedServer) -> None:
        heard: list[bytes] = []

        def flow() -> Flow[None]:
            yield Open(Request("GET", "/stream"), PATIENCE)
            while True:
                heard.append((yield NextLine()).body)

        async with httpx.AsyncClient(base_url=server.url) as client:
            task = asyncio.create_task(drivers.arun(flow(), client))
            await eventually(lambda: heard)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: server.hung_up)

    with ScriptedServer(answer).listening() as server:
        asyncio.run(main(server))
        over.set()


def test_a_flood_of_lines_lets_others_on_the_loop_have_their_turn() -> None:
    turns: list[int] = []
    seen = 0

    def flow() -> Flow[None]:
        nonlocal seen
        yield Open(Request("GET", "/stream"), PATIENCE)
        while (yield NextLine()).body is not None:
            seen += 1

    async def main(server: ScriptedServer) -> None:
        async with httpx.AsyncClient(base_url=server.url) as client:
            reading = asyncio.create_task(drivers.arun(flow(), client))
            while not reading.done():
                turns.append(seen)
                await asyncio.sleep(0)
            await reading

    with ScriptedServer(lambda _: [opening(), chunk(b"x\n" * 5000), LAST]).listening() as server:
        asyncio.run(main(server))
    steps = [after - before for before, after in itertools.pairwise(turns)]
    assert seen == 5000
    assert max(steps) <= 100


def test_a_line_without_a_stream_is_the_end() -> None:
    def flow() -> Flow[Reply]:
        yield Sleep(0)
        return (yield NextLine())

    with httpx.Client() as client:
        assert drivers.run(flow(), client).body is None


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=1, max_value=30))
def test_lines_do_not_depend_on_the_pieces_in_which_they_come(
    pieces: list[bytes], limit: int
) -> None:
    buffer, lines = LineBuffer(limit), []
    for piece in pieces:
        buffer.add(piece)
        while (line := buffer.take()) is not None:
            lines.append(line)
    rest = buffer.rest()
    whole_text = b"".join(pieces)
    *expected, last = whole_text.split(b"\n")
    assert lines == [line[:limit] for line in expected]
    assert (rest or b"") == last[:limit]

"""The model answers httpx, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
import pytest

from tests.model.cluster import Cluster
from tests.model.conftest import JOB_PATH, job
from tests.model.transport import LoopClock, ModelTransport
from tests.simulation.clock import VirtualLoop

T = TypeVar("T")
HERE = JOB_PATH.format("team-b")


def play(act: Callable[[Cluster, httpx.AsyncClient], Awaitable[T]]) -> T:
    loop = VirtualLoop()
    cluster = Cluster(LoopClock(loop))

    async def run() -> T:
        transport = ModelTransport(cluster.server)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            return await act(cluster, client)

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


async def follow(client: httpx.AsyncClient, seconds: int) -> list[str]:
    query = {"watch": "true", "timeoutSeconds": str(seconds)}
    async with client.stream("GET", HERE, params=query) as reply:
        return [json.loads(line)["type"] async for line in reply.aiter_lines()]


def test_a_watch_is_a_stream_of_lines() -> None:
    async def act(cluster: Cluster, client: httpx.AsyncClient) -> list[str]:
        made = await client.post(HERE, json=job("nightly", "team-b", 1))
        assert made.status_code == 201
        return await follow(client, 60)

    found = play(act)
    assert len(found) >= 3
    assert set(found) == {"MODIFIED"}


def test_a_stream_that_is_cut_ends_in_an_error() -> None:
    async def act(cluster: Cluster, client: httpx.AsyncClient) -> None:
        cluster.clock.after(5.0, cluster.server.restart)
        with pytest.raises(httpx.RemoteProtocolError):
            await follow(client, 60)

    play(act)


def test_refusals_and_texts_arrive_as_they_are() -> None:
    async def act(cluster: Cluster, client: httpx.AsyncClient) -> list[tuple[int, str]]:
        paths = (f"{HERE}/no", "/apis/no.io/v1/things")
        replies = [await client.get(path) for path in paths]
        return [(one.status_code, one.headers["content-type"]) for one in replies]

    assert play(act) == [(404, "application/json"), (404, "text/plain; charset=utf-8")]

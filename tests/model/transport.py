"""Carries httpx's requests to the model's server within one event loop, streams included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx

from tests.model.clock import BEGIN
from tests.model.faults import Wire, asked
from tests.model.pod_logs import LogStream
from tests.model.server import Server
from tests.model.watching import Watch
from tests.simulation.clock import VirtualLoop


class LoopClock:
    """The time of a virtual event loop, for the model."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.after = loop.after

    def now(self) -> float:
        return BEGIN + self._loop.time()


class ModelTransport(httpx.AsyncBaseTransport):
    """
    Takes the place of a network.

    :param user: who asks.
    :ivar is_down: connections are refused.
    """

    def __init__(self, server: Server, user: str = "airflow") -> None:
        self._server, self._user = server, user
        self.is_down = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request at once; a watch answers with a stream."""
        if self.is_down:
            raise httpx.ConnectError("connection refused", request=request)
        answer = self._server.answer(asked(request, self._user))
        if isinstance(answer.body, Watch | LogStream):
            headers = {"content-type": "application/json"}
            return httpx.Response(answer.status, headers=headers, stream=_Lines(answer.body))
        if isinstance(answer.body, str):
            return httpx.Response(answer.status, text=answer.body)
        return httpx.Response(answer.status, json=answer.body)


class _Lines(httpx.AsyncByteStream):
    def __init__(self, watch: Watch | LogStream) -> None:
        self._watch = watch
        self._news = asyncio.Event()
        watch.wake = self._news.set

    async def __aiter__(self) -> AsyncIterator[bytes]:
        watch = self._watch
        while True:
            while watch.lines:
                line = watch.lines.popleft()
                yield line.encode() if isinstance(line, str) else json.dumps(line).encode() + b"\n"
            if watch.was_cut:
                raise httpx.RemoteProtocolError("peer closed connection without complete body")
            if watch.is_over:
                return
            self._news.clear()
            await self._news.wait()

    async def aclose(self) -> None:
        self._watch.end()


class BlockingTransport(httpx.BaseTransport):
    """The same without a loop, and without streams."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request at once."""
        return self._wire.send(request)


class AwaitingTransport(httpx.AsyncBaseTransport):
    """The same on a loop of real time."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request at once."""
        return self._wire.send(request)

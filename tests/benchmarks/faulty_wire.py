"""
The wire between httpx and the faulty server: takes time, and has as many connections as the client.

It takes the place of httpx's transport, so everything above that is the real thing. What the
server does in between costs the event loop nothing. Connections are only counted: there is no TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.benchmarks.faulty_server import Down, Server
from tests.benchmarks.virtual_loop import VirtualLoop

#: Seconds for opening a connection.
HANDSHAKE = 0.02
#: Bytes a second: 1 Gbit/s for all connections together.
BANDWIDTH = 125e6
#: Bytes that httpcore reads at once.
PIECE = 65_536


class _Body(httpx.AsyncByteStream):
    """A body as it comes from a socket: piece by piece, and nobody keeps it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content, self._content = self._content, b""
        for begin in range(0, len(content), PIECE):
            yield content[begin : begin + PIECE]


@dataclass(eq=False)
class _Pool:
    """The connections of one client, as httpx limits them."""

    most: int
    keep_alive: float
    free: asyncio.Semaphore
    idle: list[float] = field(default_factory=list)


@dataclass(eq=False)
class Wire:
    """
    Carries requests.

    :param latency: seconds there and back.
    :param opened: connections so far.
    """

    loop: VirtualLoop
    server: Server
    latency: float = 0.03
    opened: int = 0
    _free_at: float = 0.0
    _pools: dict[int, _Pool] = field(default_factory=dict)

    async def carry(self, transport: Any, request: httpx.Request) -> httpx.Response:
        """Send one request, and bring the answer back."""
        limits = request.extensions.get("timeout", {})
        async with self._connection(transport, request, limits.get("pool")):
            return await self._exchange(request, limits.get("read"))

    async def _exchange(self, request: httpx.Request, read: float | None) -> httpx.Response:
        with self.loop.uncounted():
            query = dict(request.url.params.multi_items())
            delay = self.latency + self.server.delay(request.url.path)
        if read is not None and delay > read:
            await asyncio.sleep(read)
            raise httpx.ReadTimeout("the answer did not come", request=request)
        await asyncio.sleep(delay)
        try:
            with self.loop.uncounted():
                status, headers, body = self.server.answer(request.url.path, query)
        except Down:
            raise httpx.ConnectError("connection refused", request=request) from None
        await self._transfer(len(body))
        return httpx.Response(status, headers=headers, stream=_Body(body), request=request)

    async def _transfer(self, size: int) -> None:
        """Let a body pass through the network, after those that came before it."""
        now = self.loop.time()
        self._free_at = max(self._free_at, now) + size / BANDWIDTH
        await asyncio.sleep(self._free_at - now)

    @asynccontextmanager
    async def _connection(
        self, transport: Any, request: httpx.Request, patience: float | None
    ) -> AsyncIterator[None]:
        pool = self._pools.get(id(transport)) or self._pools.setdefault(
            id(transport), _pool_of(transport)
        )
        if pool.free.locked():
            try:
                await asyncio.wait_for(pool.free.acquire(), patience)
            except asyncio.TimeoutError:
                raise httpx.PoolTimeout("no connection was free", request=request) from None
        else:
            await pool.free.acquire()
        try:
            await self._take(pool)
            yield
            pool.idle.append(self.loop.time() + pool.keep_alive)
        finally:
            pool.free.release()

    async def _take(self, pool: _Pool) -> None:
        now = self.loop.time()
        pool.idle = [until for until in pool.idle if until > now]
        if pool.idle:
            pool.idle.pop()
            return
        self.opened += 1
        await asyncio.sleep(HANDSHAKE)


def _pool_of(transport: Any) -> _Pool:
    """Ask httpcore's pool, which is not used otherwise, for the client's limits."""
    pool = transport._pool
    most, keep_alive = pool._max_connections, pool._keepalive_expiry
    keep_alive = float("inf") if keep_alive is None else keep_alive
    return _Pool(most, keep_alive, asyncio.Semaphore(min(most, 10_000)))


@contextmanager
def installed(wire: Wire) -> Iterator[None]:
    """Let httpx's asynchronous transport hand each request to ``wire``."""

    async def handle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return await wire.carry(self, request)

    kind: Any = httpx.AsyncHTTPTransport
    real = kind.handle_async_request
    kind.handle_async_request = handle
    try:
        yield
    finally:
        kind.handle_async_request = real

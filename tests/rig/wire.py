"""
A line between a client and the API server that can be cut, slowed and frozen: a TCP relay on loopback.

TLS passes through it unread, so the client checks the API server's own certificate.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any

from tests.rig.api import Api

__all__ = ["Wire"]

CHUNK = 65536


class Wire:
    """
    One line, from ``with`` to its end. Safe to steer from any thread.

    :param port: the API server's port.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._delay = 0.0

    def __enter__(self) -> Wire:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def client(self, through: Api, timeout: float = 30) -> Api:
        """Return a client like another one, but over this line."""
        return through.at(f"https://127.0.0.1:{self.port}", timeout)

    def cut(self) -> None:
        """Break every open connection in the middle of whatever it carries; new ones work."""
        self._do(self._cut())

    def slow(self, seconds: float) -> None:
        """Hold back every piece of an answer for so long, from now on; 0 ends it."""
        self._delay = seconds

    def freeze(self) -> None:
        """
        Leave connections half open: nobody hears from the other side any more, and nobody hangs up.
        """
        self._do(self._gate(open_it=False))

    def thaw(self) -> None:
        """End a freeze; what was held back arrives."""
        self._do(self._gate(open_it=True))

    def refuse(self) -> None:
        """Break every connection and accept no new one."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accept connections again."""
        self._do(self._listen())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(
            self._relay, "127.0.0.1", getattr(self, "port", 0)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, inner_writer}
        self._open |= ends
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(
                self._pump(reader, inner_writer, False), self._pump(inner_reader, writer, True)
            )
        self._open -= ends
        for end in ends:
            end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool
    ) -> None:
        while piece := await reader.read(CHUNK):
            if answers and self._delay:
                await asyncio.sleep(self._delay)
            await self._flowing.wait()
            writer.write(piece)
            await writer.drain()
        await self._flowing.wait()
        writer.write_eof()

    async def _gate(self, open_it: bool) -> None:
        if open_it:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _cut(self) -> None:
        for end in list(self._open):
            end.transport.abort()

    async def _refuse(self) -> None:
        self._server.close()
        await self._cut()

    async def _end(self) -> None:
        self._flowing.set()
        await self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

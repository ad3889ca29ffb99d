"""
Bodies without an end, line by line; ``drivers.py`` opens them and closes them.

Servers that restart, gateways and lost networks break streams in the middle of a line. That is an
ordinary end here. Only a stream that says nothing for too long is told apart: its other side may
be gone without a word, or may wait for a version that never comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from airflow_runai.core.flow import Open
from airflow_runai.errors import Silent

#: What follows so many lines that were there already lets others on the event loop go first.
_AT_ONCE = 50
#: Bytes of a bad reply to an :class:`Open` that are read: it is an error message, or a page.
_ERROR_LIMIT = 65_536


class LineBuffer:
    """
    Bytes as they come in, lines as they go out.

    :param limit: see :class:`Open`.
    """

    __slots__ = ("_bytes", "_is_over_limit", "_limit", "_searched")

    def __init__(self, limit: int) -> None:
        self._bytes = bytearray()
        self._limit = limit
        self._searched = 0
        # The beginning of this line is kept; what still comes of it is not.
        self._is_over_limit = False

    def add(self, piece: bytes) -> None:
        """Take the next bytes."""
        if self._is_over_limit:
            end = piece.find(b"\n")
            if end < 0:
                return
            piece, self._is_over_limit = piece[end:], False
        self._bytes += piece

    def take(self) -> bytes | None:
        """Return the next whole line; ``None`` if there is none yet."""
        end = self._bytes.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._bytes)
            if self._searched > self._limit:
                del self._bytes[self._limit :]
                self._searched, self._is_over_limit = self._limit, True
            return None
        line = bytes(self._bytes[: min(end, self._limit)])
        del self._bytes[: end + 1]
        self._searched = 0
        return line

    def rest(self) -> bytes | None:
        """Return what follows the last line of a body that has come to its end."""
        line, self._bytes, self._searched = bytes(self._bytes[: self._limit]), bytearray(), 0
        return line or None


class BlockingLines:
    """The lines of a response; blocks while there is none."""

    __slots__ = ("_buffer", "_pieces", "_response", "_where")

    def __init__(self, step: Open, response: httpx.Response) -> None:
        self._buffer, self._where = LineBuffer(step.limit), _where(step)
        self._response = response
        self._pieces: Iterator[bytes] | None = response.iter_bytes()

    def next(self) -> bytes | None:
        """Return the next line; ``None`` after the last one; raises ``Silent``."""
        while (line := self._buffer.take()) is None and self._pieces:
            try:
                self._buffer.add(next(self._pieces))
            except StopIteration:
                self._pieces = None
                return self._buffer.rest()
            except httpx.ReadTimeout as error:
                raise Silent(f"{self._where}: silent for too long") from error
            except httpx.HTTPError:
                self._pieces = None
                return None
        return line

    def close(self) -> None:
        """Close the response; with it its connection, if there was more to come."""
        self._response.close()


class AwaitedLines:
    """The same on an event loop."""

    __slots__ = ("_at_once", "_buffer", "_pieces", "_response", "_where")

    def __init__(self, step: Open, response: httpx.Response) -> None:
        self._buffer, self._where = LineBuffer(step.limit), _where(step)
        self._response = response
        self._pieces: AsyncIterator[bytes] | None = response.aiter_bytes()
        self._at_once = 0

    async def next(self) -> bytes | None:
        """Return the next line; ``None`` after the last one; raises ``Silent``."""
        while (line := self._buffer.take()) is None and self._pieces:
            self._at_once = 0
            try:
                self._buffer.add(await anext(self._pieces))
            except StopAsyncIteration:
                self._pieces = None
                return self._buffer.rest()
            except httpx.ReadTimeout as error:
                raise Silent(f"{self._where}: silent for too long") from error
            except httpx.HTTPError:
                self._pieces = None
                return None
        self._at_once += 1
        if self._at_once % _AT_ONCE == 0:
            await asyncio.sleep(0)
        return line

    async def close(self) -> None:
        """Close the response; with it its connection, if there was more to come."""
        await self._response.aclose()


def opened(step: Open, timeout: httpx.Timeout) -> dict[str, Any]:
    """Return what a client's ``build_request`` needs beyond the request itself."""
    silence = None if step.silence == float("inf") else step.silence
    # As long a line may be waited for, so long the answer that comes before it: one limit for both.
    limits = httpx.Timeout(
        connect=timeout.connect, read=silence, write=timeout.write, pool=timeout.pool
    )
    # Packed lines would wait for each other.
    return {"timeout": limits, "headers": {"Accept-Encoding": "identity", **step.request.headers}}


def bounded(content: bytearray) -> bool:
    """Cut the body of a bad reply; return whether there is no need to read on."""
    del content[_ERROR_LIMIT:]
    return len(content) == _ERROR_LIMIT


def _where(step: Open) -> str:
    return f"{step.request.method} {step.request.path}"

"""
One client that writes down what it sends and gets, in the form of the recordings.

A recorder and no model of a good client: it lists and watches what it is told to, goes on after
each end from the last version that it saw, lists again after a 410, and gives up what it may not
list. Commands run beside that.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from tests.recording_forms import Answer, End, Entry, Line, Method, Request, StreamEnd, WatchEvent

WATCH = "watch=true&allowWatchBookmarks=true&timeoutSeconds=290"
#: Seconds until the next try where the server does not answer, or refuses what it allowed before.
PATIENCE = 0.5


class Client:
    """
    The client of one conversation.

    :param authority: file with the server's CA certificate.
    :param tokens: user → token; None sends none.
    :param user: who lists and watches.
    """

    def __init__(
        self, server: str, authority: Path, tokens: Mapping[str, str | None], user: str
    ) -> None:
        self.entries: list[Entry] = []
        self._tokens, self._user = tokens, user
        self._ids, self._begun = count(1), time.monotonic()
        trust = ssl.create_default_context(cafile=str(authority))
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(
            base_url=server, verify=trust, trust_env=False, timeout=300, limits=limits
        )
        self._versions: dict[str, str] = {}
        self._streams: list[asyncio.Task[None]] = []

    async def mirror(self, listings: Sequence[str]) -> None:
        """
        Begin to list and watch, or go on after a pause. Returns when all watches are open, or refused.

        :param listings: paths of lists, with ``limit=500``.
        """
        opened = [asyncio.Event() for _ in listings]
        self._streams += [
            asyncio.create_task(self._mirror(*pair)) for pair in zip(listings, opened, strict=True)
        ]
        await asyncio.gather(*(one.wait() for one in opened))

    def follow(self, path: str) -> None:
        """Begin to follow a log."""
        self._streams.append(asyncio.create_task(self._stream(path, lambda line: None)))

    async def pause(self) -> None:
        """Cut all streams."""
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        self._streams.clear()

    async def leave(self) -> None:
        """Cut all streams and go away."""
        await self.pause()
        await self._http.aclose()

    async def ask(
        self,
        method: Method,
        path: str,
        *,
        user: str | None = None,
        content_type: str | None = None,
        body: Any = None,
    ) -> Answer:
        """Send a command and return what became of it."""
        async with self._exchange(method, path, user or self._user, content_type, body) as (
            number,
            reply,
        ):
            return await self._answered(number, reply)

    async def _mirror(self, listing: str, opened: asyncio.Event) -> None:
        allowed = listing in self._versions
        while allowed or not opened.is_set():
            if listing not in self._versions:
                allowed = await self._list(listing) or allowed
            if listing in self._versions:
                watch = f"{listing.replace('limit=500', WATCH)}&resourceVersion={self._versions[listing]}"
                await self._stream(watch, partial(self._heard, listing, opened))
            if listing in self._versions:
                await asyncio.sleep(PATIENCE)
            opened.set()

    async def _list(self, listing: str) -> bool:
        with suppress(httpx.TransportError):
            answer = await self.ask("GET", listing)
            if answer.status == 200:
                self._versions[listing] = answer.body["metadata"]["resourceVersion"]
        return listing in self._versions

    def _heard(self, listing: str, opened: asyncio.Event, line: WatchEvent | str) -> None:
        opened.set()
        if isinstance(line, WatchEvent):
            if line.type == "ERROR":
                self._versions.pop(listing, None)
            else:
                self._versions[listing] = line.object["metadata"]["resourceVersion"]

    async def _stream(self, path: str, heard: Callable[[WatchEvent | str], None]) -> None:
        """Call `heard` with "" for the head, then with each line."""
        with suppress(httpx.TransportError):
            async with self._exchange("GET", path, self._user) as (number, reply):
                if reply.status_code != 200:
                    await self._answered(number, reply)
                    return
                self._note(
                    Answer(t=self._now(), id=number, status=200, content_type=_content_type(reply))
                )
                heard("")
                async for text in reply.aiter_lines():
                    line = WatchEvent(**json.loads(text)) if "watch=true" in path else text
                    self._note(Line(t=self._now(), id=number, line=line))
                    heard(line)
                self._end(number, "closed by server")

    @asynccontextmanager
    async def _exchange(
        self,
        method: Method,
        path: str,
        user: str,
        content_type: str | None = None,
        body: Any = None,
    ) -> AsyncIterator[tuple[int, httpx.Response]]:
        number = next(self._ids)
        asked = Request(
            t=self._now(),
            id=number,
            method=method,
            path=path,
            user=user,
            content_type=content_type,
            body=body,
        )
        self._note(asked)
        token = self._tokens[user]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Content-Type": content_type} if content_type else {}
        content = None if body is None else json.dumps(body)
        try:
            async with self._http.stream(method, path, headers=headers, content=content) as reply:
                yield number, reply
        except httpx.TransportError:
            self._end(number, "broken: ClientPayloadError")
            raise
        except asyncio.CancelledError:
            self._end(number, "closed by client")
            raise

    async def _answered(self, number: int, reply: httpx.Response) -> Answer:
        await reply.aread()
        form, after = _content_type(reply), reply.headers.get("Retry-After")
        body = reply.json() if form == "application/json" else reply.text
        answer = Answer(
            t=self._now(),
            id=number,
            status=reply.status_code,
            content_type=form,
            retry_after=after,
            body=body,
        )
        self._note(answer)
        return answer

    def _end(self, number: int, end: StreamEnd) -> None:
        answered = any(isinstance(entry, Answer) and entry.id == number for entry in self.entries)
        self._note(
            End(t=self._now(), id=number, end=end if answered else "broken: ClientConnectorError")
        )

    def _note(self, entry: Entry) -> None:
        self.entries.append(entry)

    def _now(self) -> float:
        return round(time.monotonic() - self._begun, 4)


def _content_type(reply: httpx.Response) -> str | None:
    form: str | None = reply.headers.get("Content-Type")
    return form

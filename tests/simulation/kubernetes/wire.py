"""The wire to a cluster: as that to a control plane, and streams that break, fall silent or are late."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx

from tests.model.faults import asked
from tests.model.refusals import Refusal, no_right, no_right_to_path, unauthorized
from tests.model.resources import PODS, Object, place_of
from tests.model.server import Answer
from tests.model.watching import Watch
from tests.simulation.clock import VirtualLoop
from tests.simulation.kubernetes.connection import NAMESPACE
from tests.simulation.kubernetes.world import ClusterWorld
from tests.simulation.process import Process, blocking, here
from tests.simulation.story import Story
from tests.simulation.wire import Wire, answer

USER = "system:serviceaccount:airflow:airflow"
ANONYMOUS = "system:anonymous"
#: Outages that leave open what is open.
_REFUSALS = ("401", "403")


class ClusterWire(Wire):
    """
    Carries requests to the API server of a cluster.

    :ivar refusing_until: a server that was just started refuses everybody until then.
    :ivar anonymous_until: no token arrives until then.
    :ivar silent_since: what was opened before says nothing any more, and is not told its end.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        world: ClusterWorld,
        story: Story,
        chance: random.Random,
        aside: random.Random,
    ) -> None:
        super().__init__(loop, world, story, chance, aside)  # type: ignore[arg-type]  # it is the server, too
        self.world = world
        self.refusing_until = self.anonymous_until = self.silent_since = 0.0

    def begin_outage(self, kind: str, seconds: float) -> None:
        super().begin_outage(kind, seconds)
        if kind not in _REFUSALS:
            self.world.model.server.drop_streams()

    def restart(self, seconds: float, refusing: float) -> None:
        """Restart the API server: away, then refusing everybody; old versions are forgotten."""
        self.begin_outage("request lost", seconds)
        self.world.model.server.restart()
        self.refusing_until = self.loop.time() + seconds + refusing

    def lose_token(self, seconds: float) -> None:
        """Let a proxy drop the token of each request."""
        self.anonymous_until = self.loop.time() + seconds

    async def carry(self, request: httpx.Request) -> httpx.Response:
        response, place = await super().carry(request), place_of(request.url.path)
        process = here()
        if process and process.number and place and place.resource == PODS:
            is_list = request.method == "GET" and response.status_code == 200
            for pod in _items(response) if is_list else ():
                self.world.was_seen(pod)
        return response

    def _ask(self, who: str, request: httpx.Request) -> httpx.Response:
        if self.loop.time() < max(self.refusing_until, self.anonymous_until):
            return self._instead(request, 403, "403")
        world = self.world
        was, world.acting = world.acting, who
        try:
            found = world.model.server.answer(asked(request, USER))
        finally:
            world.acting = was
        self._note_change(who, request, found)
        if isinstance(found.body, Watch):
            stream = _Lines(found.body, request, self, self.loop)
            headers = {"content-type": "application/json", "date": self._date()}
            return httpx.Response(found.status, headers=headers, stream=stream, request=request)
        is_text = isinstance(found.body, str)
        content = found.body if is_text else json.dumps(found.body)
        kind = "text/plain" if is_text else "application/json"
        return answer(request, found.status, str(content).encode(), self._date(), kind)

    def _note_change(self, who: str, request: httpx.Request, found: Answer) -> None:
        """Note whom one of ours has changed, or wanted to delete."""
        if request.method in ("PATCH", "DELETE") and found.status < 300:
            name = request.url.path.rpartition("/")[2]
            self.story.note("changed", who, workload=name, method=request.method)

    def _emptied(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        """Nothing between a cluster and its clients knows how to empty a list."""
        return response

    def _words(self, request: httpx.Request, status: int) -> dict[str, Any]:
        if status == 401:
            return unauthorized().body
        if status == 403:
            return self._without_right(request).body
        words = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return {**words, "message": f"fault {status}", "reason": "Fault", "code": status}

    def _without_right(self, request: httpx.Request) -> Refusal:
        user = ANONYMOUS if self.loop.time() < self.anonymous_until else USER
        verb = {"GET": "get", "POST": "create"}.get(request.method, request.method.lower())
        path, place = request.url.path, place_of(request.url.path)
        if place is None:
            return no_right_to_path(user, verb, path)
        return no_right(user, verb, place.resource, NAMESPACE)


def _items(response: httpx.Response) -> list[Object]:
    """Return what a list holds; nothing of what is no list, or a stream."""
    is_json = response.headers.get("content-type") == "application/json"
    if not is_json or not isinstance(response.stream, httpx.ByteStream) or not response.content:
        return []
    found = json.loads(response.content)
    return list(found.get("items") or ())


class _Lines(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A stream as one process receives it."""

    def __init__(
        self, watch: Watch, request: httpx.Request, wire: ClusterWire, loop: VirtualLoop
    ) -> None:
        self._watch, self._request, self._wire, self._loop = watch, request, wire, loop
        self._process: Process | None = here()
        self._news = asyncio.Event()
        self._opened = loop.time()
        watch.wake = self._news.set

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await self._wait()
            if self._watch.was_cut:
                raise httpx.RemoteProtocolError("peer closed connection without complete body")
            while self._watch.lines:
                line = self._watch.lines.popleft()
                if line["object"].get("kind") == PODS.kind and line["type"] != "BOOKMARK":
                    self._wire.world.was_seen(line["object"])
                yield json.dumps(line).encode() + b"\n"
            if self._watch.is_over:
                return

    def __iter__(self) -> Iterator[bytes]:
        lines = aiter(self)
        with suppress(StopAsyncIteration):
            while True:
                yield blocking(anext(lines))

    async def _wait(self) -> None:
        """Wait for something to read, as long as the client does."""
        seconds = (self._request.extensions.get("timeout") or {}).get("read")
        last = self._loop.time()
        while True:
            if self._watch.lines or self._watch.is_over:
                await asyncio.sleep(self._wire.chance.uniform(0.02, 0.25))
                if not self._is_silent:
                    return
            self._news.clear()
            left = None if seconds is None else last + seconds - self._loop.time()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except (asyncio.TimeoutError, TimeoutError):
                raise httpx.ReadTimeout("no line", request=self._request) from None

    @property
    def _is_silent(self) -> bool:
        """Whether the other side is lost without a word: nothing that follows ever comes."""
        return self._opened < self._wire.silent_since and not self._watch.was_cut

    def close(self) -> None:
        self._watch.end()

    async def aclose(self) -> None:
        self.close()

"""
The wire between a simulated process and the control plane: takes time, loses, repeats, is cut.

It takes the place of httpx's transports, so that everything above them is the real thing.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Protocol

import httpx

from tests.simulation.clock import VirtualLoop
from tests.simulation.process import Process, blocking, here
from tests.simulation.server import Server
from tests.simulation.story import Story

HTML = "<html><body>Please log in</body></html>"
WORDS: dict[int, Any] = {401: "token expired", 403: "no permission", 429: "slow down", 404: HTML}
#: Kinds of troubles: the answer that comes instead, and whether the request has taken effect
#: before.
INSTEAD: dict[str, tuple[int, bool]] = {
    "500 before": (500, False),
    "502 after": (502, True),
    "503 before": (503, False),
    "503 after": (503, True),
    "html": (200, False),
    "html 404": (404, False),
    "empty": (200, False),
    "401": (401, False),
    "403": (403, False),
    "429": (429, False),
}
LOST = {"request lost": False, "reply lost": True}
LATE = "delivered late "
KINDS = (*INSTEAD, *LOST, "slow", "empty list", "twice")


@dataclass(eq=False)
class Wire:
    """
    Carries requests to the server.

    :param aside: chance for the requests of reaper and listener, which must not disturb the pace of
        the others.
    :param outage: what everybody gets instead of an answer until ``outage_until``.
    :param requests: of workers and triggerers.
    :param requests_aside: of reaper and listener.
    """

    loop: VirtualLoop
    server: Server
    story: Story
    chance: random.Random
    aside: random.Random
    outage: str = ""
    outage_until: float = 0.0
    requests: int = 0
    requests_aside: int = 0

    async def carry(self, request: httpx.Request) -> httpx.Response:
        """Send one request as the process whose code is running."""
        process = here()
        assert process is not None, "only simulated processes send"
        if process.number:
            self.requests += 1
        else:
            self.requests_aside += 1
        trouble = process.step()
        if request.method != "GET" and not _is_login(request):
            self.story.note("sent", process.name, call=_call(request))
        await self._travel(process)
        if self.loop.time() < self.outage_until:
            trouble = self.outage
        response = await self._answered(process, request, trouble)
        await self._travel(process)
        return response

    async def _travel(self, process: Process) -> None:
        chance = self.chance if process.number else self.aside
        await asyncio.sleep(chance.uniform(0.02, 0.25))
        if not process.alive:
            raise asyncio.CancelledError

    async def _answered(
        self, process: Process, request: httpx.Request, trouble: str
    ) -> httpx.Response:
        is_login = _is_login(request)
        if trouble and not is_login:
            self.story.note(
                "trouble", process.name, what=trouble, call=f"{request.method} {request.url.path}"
            )
        if trouble in LOST or trouble.startswith(LATE):
            return await self._lost(process, request, trouble)
        if trouble == "slow":
            await asyncio.sleep(self.chance.uniform(5.0, 29.0))
        if trouble in INSTEAD:
            status, after = INSTEAD[trouble]
            if after:
                self._ask(process.name, request)
            return self._instead(request, status, trouble)
        response = self._ask(process.name, request)
        if trouble == "twice":
            self._ask(f"{process.name} (again)", request)
        if trouble == "empty list":
            response = self._emptied(request, response)
        if not is_login:
            status = response.status_code
            self.story.note("request", process.name, call=_call(request), status=status)
        return response

    def begin_outage(self, kind: str, seconds: float) -> None:
        """Let everybody get this instead of an answer, for so long."""
        self.outage, self.outage_until = kind, self.loop.time() + seconds

    def _date(self) -> str:
        return formatdate(self.server.now_by_its_clock(self.loop.time()), usegmt=True)

    async def _lost(self, process: Process, request: httpx.Request, trouble: str) -> httpx.Response:
        if LOST.get(trouble):
            self._ask(process.name, request)
        elif trouble.startswith(LATE):
            delay = float(trouble.removeprefix(LATE))
            self.loop.after(delay, lambda: self._ask(f"{process.name} (late)", request))
        await asyncio.sleep(self.chance.uniform(1.0, 30.0))
        raise httpx.ReadTimeout("the answer did not come", request=request)

    def _ask(self, who: str, request: httpx.Request) -> httpx.Response:
        """Let the server do what a request asks for."""
        is_json = request.headers.get("content-type", "").startswith("application/json")
        body = json.loads(request.content) if is_json and request.content else None
        query = dict(request.url.params.multi_items())
        status, found = self.server.answer(who, request.method, request.url.path, query, body)
        return answer(request, status, json.dumps(found).encode(), self._date())

    def _emptied(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        """Deny in a list all that there is."""
        if "workloads" not in response.json():
            return response
        self.server.deny_all()
        return answer(request, 200, json.dumps({"workloads": []}).encode(), self._date())

    def _instead(self, request: httpx.Request, status: int, trouble: str) -> httpx.Response:
        """Answer as something that goes wrong does."""
        if trouble == "empty":
            return answer(request, 200, b"", self._date())
        if trouble.startswith("html"):
            return answer(request, status, HTML.encode(), self._date(), "text/html")
        return answer(
            request, status, json.dumps(self._words(request, status)).encode(), self._date()
        )

    def _words(self, request: httpx.Request, status: int) -> dict[str, Any]:
        return {"code": status, "message": WORDS.get(status, "the control plane is not well")}


def _is_login(request: httpx.Request) -> bool:
    return request.url.path.endswith("/token")


def _call(request: httpx.Request) -> str:
    query = request.url.params.get("filterBy", "")
    deleted = " deleted" if request.url.params.get("deleted") else ""
    return f"{request.method} {request.url.path.removeprefix('/api/v1')} {query}{deleted}".rstrip()


def answer(
    request: httpx.Request, status: int, content: bytes, date: str, kind: str = "application/json"
) -> httpx.Response:
    """Make a reply."""
    headers = {"content-type": kind, "date": date}
    if status == 429:
        headers["retry-after"] = "7"
    return httpx.Response(status, headers=headers, content=content, request=request)


class Carrier(Protocol):
    """What takes the place of httpx's transports."""

    async def carry(self, request: httpx.Request) -> httpx.Response:
        """Send one request as the process whose code is running."""


@contextmanager
def installed(wire_of: Callable[[Process], Carrier]) -> Iterator[None]:
    """Let httpx's transports hand each request to the wire of the process that sends it."""
    kinds: tuple[tuple[Any, str], ...] = (
        (httpx.HTTPTransport, "handle_request"),
        (httpx.AsyncHTTPTransport, "handle_async_request"),
    )
    real = [getattr(kind, name) for kind, name in kinds]

    def handle_request(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        process = here()
        return (
            blocking(wire_of(process).carry(request))
            if process is not None
            else real[0](self, request)
        )

    async def handle_async_request(
        self: httpx.AsyncHTTPTransport, request: httpx.Request
    ) -> httpx.Response:
        process = here()
        return await (
            wire_of(process).carry(request) if process is not None else real[1](self, request)
        )

    for (kind, name), fake in zip(kinds, (handle_request, handle_async_request), strict=True):
        setattr(kind, name, fake)
    try:
        yield
    finally:
        for (kind, name), was in zip(kinds, real, strict=True):
            setattr(kind, name, was)

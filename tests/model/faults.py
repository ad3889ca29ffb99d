"""What may go wrong between a client and the model's server, and what another version adds to its answers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import httpx

from tests.model.pod_logs import LogStream
from tests.model.server import Answer, Asked, Server
from tests.model.watching import Watch


@dataclass
class Fault:
    """
    One thing that goes wrong.

    :param happens: what the client gets instead; raises for a connection that breaks.
    :param method: of requests that it is about; empty for all.
    :param path: part of their paths.
    :param times: how often it happens.
    :param is_late: after the server has done what was asked.
    """

    happens: Callable[[httpx.Request], httpx.Response]
    method: str = ""
    times: float = 1
    is_late: bool = False
    path: str = ""

    def concerns(self, request: httpx.Request) -> bool:
        """Whether it happens to a request."""
        return self.method in ("", request.method) and self.path in request.url.path


@dataclass
class Wire:
    """
    Carries requests of a user to a server; blocking and awaiting transports share it.

    :param on_request: called before each request.
    :ivar until: connections are refused until this moment.
    :ivar spoken: what was asked, and the status of each answer.
    :ivar is_newer: the server has fields, phases and conditions that nobody knows yet.
    """

    server: Server
    now: Callable[[], float]
    on_request: Callable[[], object] = lambda: None
    user: str = "airflow"
    faults: list[Fault] = field(default_factory=list)
    until: float = 0.0
    is_newer: bool = False
    spoken: list[str] = field(default_factory=list)

    def send(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; of a watch, with what has happened already."""
        self.on_request()
        if self.now() < self.until:
            raise httpx.ConnectError("connection refused", request=request)
        fault = next((one for one in self.faults if one.concerns(request)), None)
        if fault is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
        if fault is None or fault.is_late:
            answer = self.server.answer(asked(request, self.user))
        response = fault.happens(request) if fault else self._response(answer)
        line = f"{self.now():.1f} {request.method} {request.url.raw_path.decode()}"
        self.spoken.append(f"{line} {response.status_code}")
        response.headers["date"] = formatdate(self.now(), usegmt=True)
        return response

    def _response(self, answer: Answer) -> httpx.Response:
        if isinstance(answer.body, Watch | LogStream):
            answer.body.end()  # whoever can wait makes a stream of it
        if isinstance(answer.body, Watch):
            lines = [json.dumps(line) + "\n" for line in answer.body.lines]
            return httpx.Response(answer.status, text="".join(lines))
        if isinstance(answer.body, LogStream):
            return httpx.Response(answer.status, text="".join(answer.body.lines))
        if isinstance(answer.body, str):
            return httpx.Response(answer.status, text=answer.body)
        return httpx.Response(
            answer.status, json=newer(answer.body) if self.is_newer else answer.body
        )


def asked(request: httpx.Request, user: str) -> Asked:
    """Return what a request asks for."""
    body = json.loads(request.content) if request.content else None
    query = dict(request.url.params.multi_items())
    kind = request.headers.get("content-type", "")
    return Asked(request.method, request.url.path, query, body, kind, user)


def broken(request: httpx.Request) -> httpx.Response:
    """Break the connection."""
    raise httpx.ReadError("connection reset by peer", request=request)


def saying(
    status: int, *, html: bool, retry_after: float | None
) -> Callable[[httpx.Request], httpx.Response]:
    """Return what answers with a status: a page of a gateway, or the server's own words."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:.0f}"}

    def happens(_: httpx.Request) -> httpx.Response:
        if html:
            return httpx.Response(status, html="<html>Sign in</html>", headers=headers)
        words = {
            "kind": "Status",
            "status": "Failure",
            "code": status,
            "message": f"fault {status}",
        }
        return httpx.Response(status, json=words, headers=headers)

    return happens


def newer(body: Any) -> Any:
    """Return an answer as a server of tomorrow gives it."""
    body = copy.deepcopy(body)
    for one in [body, *(body.get("items") or ())]:
        one["tomorrow"] = {"kept": ["as", "it", "is"]}
        if isinstance(status := one.get("status"), dict):
            strange = {"type": "Tomorrow", "status": "True", "reason": "Unheard", "message": "of"}
            status["conditions"] = [strange, *(status.get("conditions") or ())]
    return body

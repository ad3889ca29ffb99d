"""Several flows side by side under a clock that jumps, and a control plane that answers them by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_runai.core.flow import Flow, NextLine, Open, Reply, Request, Sleep, Wait
from airflow_runai.errors import Silent, Unreachable
from tests.backends.rest import item
from tests.core.stage import NOON

#: What a stream gives while it has no line.
NOTHING_YET = object()


class Stream:
    """The lines of an open stream: ``put`` them, or ``None`` for its end."""

    def __init__(self) -> None:
        self._lines: list[bytes | None] = []
        self.fall_silent()

    def fall_silent(self) -> None:
        self.listener: Callable[[], object] = lambda: None

    def put(self, line: bytes | None) -> None:
        self._lines.append(line)
        self.listener()

    def take_ready(self) -> bool:
        return bool(self._lines)

    def take(self) -> Any:
        if not self._lines:
            return NOTHING_YET
        return self._lines[0] if self._lines[0] is None else self._lines.pop(0)


@dataclass(eq=False)
class Running:
    """
    A flow that has begun.

    :param due: when it goes on by itself.
    :param silence: of its open stream.
    """

    flow: Flow[Any]
    due: float = NOON
    has_begun: bool = False
    is_called: bool = False
    is_done: bool = False
    result: Any = None
    error: Exception | None = None
    forget: Callable[[], object] = lambda: None
    stream: Stream | None = None
    silence: float = math.inf
    is_listening: bool = False

    def call(self) -> None:
        self.is_called = True


@dataclass
class Flows:
    """
    Performs the steps of many flows; time passes only while all of them wait.

    :param answer: answers requests; what it raises is raised in the flow.
    :param latency: seconds that a request takes.
    :param stream: returns the stream that a request opens, where flows open any.
    """

    answer: Callable[[Request], Reply]
    latency: float = 0.0
    stream: Callable[[Request], Stream] = lambda request: Stream()
    now: float = NOON
    running: list[Running] = field(default_factory=list)
    asked: list[tuple[float, Request]] = field(default_factory=list)
    _pending: dict[Running, Request] = field(default_factory=dict)

    def start(self, flow: Flow[Any]) -> Running:
        one = Running(flow, self.now)
        self.running.append(one)
        return one

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while True:
            ready = [one for one in self.running if one.is_called or one.due <= self.now]
            if not ready:
                following = min((one.due for one in self.running), default=math.inf)
                self.now = min(following, end)
                if following > end:
                    return
            for one in ready:
                if one in self.running:
                    self._go_on(one)

    def _go_on(self, one: Running) -> None:
        one.forget()
        one.is_called, one.forget = False, lambda: None
        reply = Reply(0, self.now) if one.has_begun else None
        one.has_begun = True
        error: Exception | None = None
        if one in self._pending:
            reply, error = self._answered(self._pending.pop(one))
        if one.is_listening:
            reply, error = self._heard(one)
        try:
            while True:
                step = one.flow.throw(error) if error else one.flow.send(reply)  # type: ignore[arg-type]
                if isinstance(step, Request) and not self.latency:
                    self.asked.append((self.now, step))
                    reply, error = self._answered(step)
                elif isinstance(step, Open):
                    reply, error = self._open(one, step)
                elif isinstance(step, NextLine) and (not one.stream or one.stream.take_ready()):
                    reply, error = self._heard(one)
                elif self._waits(one, step):
                    return
                else:
                    reply, error = Reply(0, self.now), None
        except StopIteration as end:
            one.result = end.value
        except Exception as raised:
            one.error = raised
        one.is_done = True
        self.running.remove(one)

    def _waits(self, one: Running, step: object) -> bool:
        if isinstance(step, Request):
            self.asked.append((self.now, step))
            self._pending[one] = step
            one.due = self.now + self.latency
            return True
        if isinstance(step, NextLine) and one.stream:
            one.due, one.is_listening = self.now + one.silence, True
            stream = one.stream
            stream.listener = one.call
            one.forget = stream.fall_silent
            return True
        if isinstance(step, Wait):
            one.due = self.now + step.seconds
            step.signal.add_listener(one.call)
            one.forget = lambda: step.signal.remove_listener(one.call)
            return True
        if isinstance(step, Sleep) and step.seconds > 0:
            one.due = self.now + step.seconds
            return True
        return False

    def _answered(self, request: Request) -> tuple[Reply | None, Exception | None]:
        try:
            return self.answer(request), None
        except Unreachable as error:
            return None, error

    def _open(self, one: Running, step: Open) -> tuple[Reply | None, Exception | None]:
        self.asked.append((self.now, step.request))
        reply, error = self._answered(step.request)
        is_good = reply is not None and 200 <= reply.status < 300
        one.stream, one.silence = self.stream(step.request) if is_good else None, step.silence
        return reply, error

    def _heard(self, one: Running) -> tuple[Reply | None, Exception | None]:
        one.is_listening = False
        line = one.stream.take() if one.stream else None
        if line is NOTHING_YET:
            return None, Silent("silent for too long")
        return Reply(0, self.now, line), None

    def cancel(self, one: Running) -> None:
        """End a flow as a cancelled task does."""
        one.forget()
        self.running.remove(one)
        one.flow.close()

    def count(self, kind: str, since: float = NOON) -> int:
        """Count requests: ``list``, ``delta``, ``deleted``, ``history`` or ``single``."""
        return sum(kind_of(request) == kind for at, request in self.asked if at >= since)


def kind_of(request: Request) -> str:
    params = dict(request.params)
    if request.path == "/api/v1/workloads":
        if params.get("deleted"):
            return "deleted"
        return "delta" if "phaseUpdatedAt" in params["filterBy"] else "list"
    return "history" if request.path.endswith("/history") else "single"


def iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat()


class Plane:
    """
    Lists and reads workloads; lies and fails when told to.

    :ivar delta: ``known``, ``refused`` or ``ignored``: what becomes of the filter by time.
    :ivar listed: status of lists; :ivar:`hidden` are ids that lists leave out.
    """

    def __init__(self, count: int, project: str = "4501") -> None:
        self.delta = "known"
        self.listed = self.read = 200
        self.hidden: set[str] = set()
        self.headers: dict[str, str] = {}
        self.items: dict[str, Any] = {}
        for number in range(count):
            self.add(f"w-{number}", project)
        self.flows = Flows(self)

    def add(self, identity: str, project: str = "4501", phase: str = "Running") -> None:
        times = {"createdAt": iso(NOON - 7200), "phaseUpdatedAt": iso(NOON - 3600)}
        self.items[identity] = item(identity, phase, **{**times, "projectId": project})

    def enter(self, identity: str, phase: str) -> None:
        since = iso(self.flows.now)
        self.items[identity] |= {"phase": phase, "phaseUpdatedAt": since}

    def __call__(self, request: Request) -> Reply:
        if request.path == "/api/v1/workloads":
            return self._list(request, dict(request.params))
        if request.path.endswith("/history"):
            return self._reply(request, {"records": []})
        found = self.items.get(request.path.rpartition("/")[2])
        if self.read != 200 or found is None:
            status = 404 if self.read == 200 else self.read
            return self._reply(request, {"message": "no"}, status)
        return self._reply(request, found)

    def _list(self, request: Request, params: Mapping[str, str]) -> Reply:
        conditions = params["filterBy"].split(",")
        since = next((c for c in conditions if c.startswith("phaseUpdatedAt")), "")
        if self.listed != 200 or (since and self.delta == "refused"):
            return self._reply(request, {"message": "no"}, self.listed if not since else 400)
        rows = [one for key, one in self.items.items() if key not in self.hidden]
        if since and self.delta == "known":
            moment = datetime.fromisoformat(since[16:].replace("Z", "+00:00"))
            rows = [one for one in rows if datetime.fromisoformat(one["phaseUpdatedAt"]) >= moment]
        elif not since:
            rows = [one for one in rows if self._fits(one, conditions)]
        end = int(params["offset"]) + int(params["limit"])
        following = {"next": end} if end < len(rows) else {}
        return self._reply(request, {"workloads": rows[int(params["offset"]) : end], **following})

    def _fits(self, one: Any, conditions: list[str]) -> bool:
        if not isinstance(one, dict):
            return True
        project = next((c[11:] for c in conditions if c.startswith("projectId==")), None)
        is_over = one.get("phase") in ("Completed", "Failed")
        return project in (None, one.get("projectId")) and not is_over

    def _reply(self, request: Request, body: Any, status: int = 200) -> Reply:
        text = json.dumps(body)
        decode = request.decode if request.decode and status == 200 else json.loads
        return Reply(status, self.flows.now, decode(text.encode()), text, self.headers)

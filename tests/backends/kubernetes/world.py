"""
A collection of objects that lists and watches show, under a clock that jumps.

Only what a reader can see of an API server: versions, pages pinned to one moment, watches that
replay, a history that ends, bookmarks, and what goes wrong with all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_runai.core.flow import Reply, Request
from airflow_runai.errors import Unreachable
from tests.backends.flows import Flows, Stream

JOBS = "/apis/batch/v1/namespaces/team-a/jobs"
Object = dict[str, Any]


def status(code: int, message: str, reason: str = "", **details: Any) -> Object:
    """Return a Status object as a server sends it."""
    body: Object = {"kind": "Status", "status": "Failure", "message": message, "code": code}
    return body | {"reason": reason, "details": details}


def forbidden(verb: str = "list", user: str = "airflow") -> Object:
    sentence = (
        f'jobs.batch is forbidden: User "{user}" cannot {verb} resource "jobs" in API group "batch" '
        'in the namespace "team-a"'
    )
    return status(403, sentence, "Forbidden", group="batch", kind="jobs")


class World:
    """
    One collection.

    :ivar forbidden: verbs (``list``, ``watch``) that are refused.
    :ivar is_away: nobody answers.
    :ivar on_page: called before each page of a list.
    """

    def __init__(self, count: int = 0) -> None:
        self.version = 100
        self.objects: dict[str, Object] = {}
        self.forbidden: set[str] = set()
        self.is_away = self.is_deaf = False
        self.on_page: Callable[[], object] = lambda: None
        self.oldest = 0
        self.flows = Flows(self.answer, stream=self.stream)
        self._history: list[tuple[int, str, Object]] = []
        self._streams: list[Stream] = []
        for number in range(count):
            self.write(f"w-{number}")

    def write(self, uid: str, phase: str = "Running", **metadata: Any) -> None:
        """Create an object, or change it."""
        kind = "MODIFIED" if uid in self.objects else "ADDED"
        self.version += 1
        meta = {"uid": uid, "name": uid, "resourceVersion": str(self.version), **metadata}
        conditions = [{"type": phase, "status": "True"}]
        self.objects[uid] = {"metadata": meta, "status": {"conditions": conditions}}
        self._tell(kind, self.objects[uid])

    def remove(self, uid: str) -> None:
        """Delete an object, or take its label away."""
        self.version += 1
        gone = self.objects.pop(uid)
        gone = gone | {"metadata": gone["metadata"] | {"resourceVersion": str(self.version)}}
        self._tell("DELETED", gone)

    def bookmark(self) -> None:
        self.say(
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.version)}}}
        )

    def say(self, event: Any) -> None:
        """Send a line to all watches; bytes as they are."""
        for stream in self._streams:
            stream.put(event if isinstance(event, bytes) else json.dumps(event).encode())

    def cut(self) -> None:
        """Break all watches."""
        streams, self._streams = self._streams, []
        for stream in streams:
            stream.put(None)

    def expire(self) -> None:
        """Forget all history, as a server that restarts."""
        self.oldest = self.version + 1
        self.version += 1
        self.cut()

    @property
    def watches(self) -> int:
        return len(self._streams)

    def count(self, verb: str, since: float = 0.0) -> int:
        """Count lists (each page) or watches."""
        return sum(verb_of(request) == verb for at, request in self.flows.asked if at >= since)

    def answer(self, request: Request) -> Reply:
        verb = verb_of(request)
        if self.is_away:
            raise Unreachable("nobody there")
        if verb in self.forbidden:
            return self._reply(403, forbidden(verb))
        if verb == "watch":
            return self._reply(200, None)
        return self._page(request, dict(request.params))

    def _page(self, request: Request, params: dict[str, str]) -> Reply:
        self.on_page()
        at, version = map(int, params.get("continue", f"0:{self.version}").split(":"))
        if version < self.oldest:
            return self._reply(410, status(410, "too old", "Expired"))
        items = self._as_of(version)
        end = at + int(params["limit"])
        token = f"{end}:{version}" if end < len(items) else ""
        body = {"metadata": {"resourceVersion": str(version), "continue": token}}
        content = json.dumps(body | {"items": items[at:end]}).encode()
        assert request.decode
        return Reply(200, self.flows.now, request.decode(content), "{")

    def _as_of(self, version: int) -> list[Object]:
        shown: dict[str, Object] = {}
        for at, kind, found in self._history:
            if at <= version:
                shown.pop(found["metadata"]["uid"], None)
                if kind != "DELETED":
                    shown[found["metadata"]["uid"]] = found
        return list(shown.values())

    def stream(self, request: Request) -> Stream:
        stream, since = Stream(), int(dict(request.params)["resourceVersion"])
        if since < self.oldest:
            gone = status(410, f"too old resource version: {since} ({self.oldest})", "Expired")
            stream.put(json.dumps({"type": "ERROR", "object": gone}).encode())
            stream.put(None)
            return stream
        for at, kind, found in self._history:
            if at > since:
                stream.put(json.dumps({"type": kind, "object": found}).encode())
        if not self.is_deaf:
            self._streams.append(stream)
        return stream

    def _tell(self, kind: str, found: Object) -> None:
        self._history.append((self.version, kind, found))
        self.say({"type": kind, "object": found})

    def _reply(self, code: int, body: Any) -> Reply:
        return Reply(code, self.flows.now, body, json.dumps(body) if body else "")


def verb_of(request: Request) -> str:
    return "watch" if dict(request.params).get("watch") else "list"

"""
The few calls to a Kubernetes API server that the rig and its tests make, blocking, over httpx.

Not a client for production: no retries, no renewal of credentials, no protobuf. The provider has
its own flows; if the rig used those, a wrong belief of theirs would be tested against itself.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

__all__ = ["Api", "ApiError", "Event", "Mirror", "Object", "labels_of", "name_of"]

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
#: A watch without any line for this long is asked anew; bookmarks come each 60 s, on Events never.
WATCH_SECONDS = 300


class ApiError(Exception):
    """
    An answer of 400 or more.

    :param status: the HTTP status.
    :param reason: the ``reason`` of the Status object, such as ``AlreadyExists``; empty where there
        is none.
    """

    def __init__(self, method: str, path: str, reply: httpx.Response) -> None:
        self.status = reply.status_code
        self.body = _json(reply)
        self.reason = str(self.body.get("reason", ""))
        self.message = str(self.body.get("message") or reply.text)[:2000]
        super().__init__(f"{method} {path}: {self.status} {self.reason} {self.message}")


@dataclass(frozen=True)
class Event:
    """One line of a watch; ``kind`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    kind: str
    object: Object


class Expired(Exception):
    """The version to go on from is not in the server's history any more (410)."""


class Api:
    """
    One identity at one API server. Safe to share between threads.

    :param server: base URL, ``https://127.0.0.1:PORT``.
    :param token: bearer token; None sends none.
    :param authority: file with the CA certificate; None does not check the server's.
    """

    def __init__(
        self, server: str, token: str | None, authority: Path | None, timeout: float = 30
    ) -> None:
        self.server, self.token, self._authority = server, token, authority
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        trust = ssl.create_default_context(cafile=str(authority)) if authority else False
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx.Client(
            base_url=server,
            headers=headers,
            verify=trust,
            timeout=timeout,
            limits=limits,
            trust_env=False,
        )

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Api:
        """
        Read the current context of a kubeconfig as the rig writes it: a token, and a CA as file.
        """
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        return cls(cluster["server"], user.get("token"), Path(cluster["certificate-authority"]))

    def at(self, server: str, timeout: float = 30) -> Api:
        """Return a client of the same identity at another address of the same server."""
        return Api(server, self.token, self._authority, timeout)

    def with_token(self, token: str | None) -> Api:
        """Return a client with another token, or with none."""
        return Api(self.server, token, self._authority)

    def close(self) -> None:
        """Give all connections back."""
        self._http.close()

    def ask(self, method: str, path: str, **details: Any) -> httpx.Response:
        """
        Make any request and return the answer.

        :raises ApiError: if the status is 400 or more.
        """
        reply = self._http.request(method, path, **details)
        if reply.status_code >= 400:
            raise ApiError(method, path, reply)
        return reply

    def get(self, path: str, **params: Any) -> Object:
        """Read one object, or a collection as its list object."""
        return _json(self.ask("GET", path, params=params))

    def find(self, path: str) -> Object | None:
        """Read one object; None if it is not there."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, body: Object, **params: Any) -> Object:
        """POST an object to its collection (or a subresource such as ``…/binding``)."""
        return _json(self.ask("POST", path, json=body, params=params))

    def apply(self, collection: str, body: Object) -> Object:
        """Create an object, or merge it into the one of its name."""
        try:
            return self.create(collection, body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            return self.merge(f"{collection}/{name_of(body)}", body)

    def merge(self, path: str, body: Object, content_type: str = MERGE) -> Object:
        """PATCH with a merge patch (RFC 7386), or with :data:`STRATEGIC`."""
        return _json(
            self.ask(
                "PATCH", path, content=json.dumps(body), headers={"Content-Type": content_type}
            )
        )

    def replace(self, path: str, body: Object) -> Object:
        """PUT a whole object."""
        return _json(self.ask("PUT", path, json=body))

    def delete(
        self,
        path: str,
        policy: str | None = "Background",
        grace: int | None = None,
        uid: str | None = None,
    ) -> Object:
        """
        Delete an object.

        :param policy: ``propagationPolicy``; None sends none (a batch/v1 Job then orphans its
            pods).
        :param grace: ``gracePeriodSeconds``; None leaves the object's own.
        :param uid: precondition.
        """
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if policy:
            options["propagationPolicy"] = policy
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid:
            options["preconditions"] = {"uid": uid}
        return _json(self.ask("DELETE", path, json=options))

    def remove(self, path: str, **details: Any) -> None:
        """Delete an object that may be gone already."""
        try:
            self.delete(path, **details)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def watch(self, collection: str, version: str, **params: Any) -> Iterator[Event]:
        """
        Follow a collection from a version on, until the server ends the stream.

        :raises Expired: if the version is too old.
        :raises httpx.TransportError: if the connection breaks.
        """
        asked = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": WATCH_SECONDS,
            **params,
        }
        asked["resourceVersion"] = version
        timeout = httpx.Timeout(30, read=WATCH_SECONDS + 30)
        with self._http.stream("GET", collection, params=asked, timeout=timeout) as reply:
            if reply.status_code >= 400:
                reply.read()
                raise _refusal(collection, reply)
            for line in reply.iter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Expired(event["object"].get("message", ""))
                yield Event(event["type"], event["object"])


class Mirror:
    """
    A copy of one collection, kept fresh by a list and a watch in a thread of its own.

    It lists anew after every break: after the start of an API server each watch answers 410
    (kubernetes-facts.md §8).

    :param changed: called in that thread after each change with what changed: the old object (None
        if new) and the new one (None if gone). After a list, once for each object that differs.
    """

    def __init__(
        self,
        api: Api,
        collection: str,
        changed: Callable[[Object | None, Object | None], None] = lambda old, new: None,
        **params: Any,
    ) -> None:
        self._api, self._collection, self._changed, self._params = api, collection, changed, params
        self._objects: dict[str, Object] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self.synced = threading.Event()

    def start(self) -> Mirror:
        """Begin to follow."""
        threading.Thread(
            target=self._run, name=f"mirror of {self._collection}", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """End after the next line; the thread is a daemon and is not joined."""
        self._stop.set()

    @property
    def objects(self) -> list[Object]:
        """All objects as last seen. They are shared: do not change them."""
        with self._guard:
            return list(self._objects.values())

    def get(self, uid: str) -> Object | None:
        """Return one object by its uid."""
        with self._guard:
            return self._objects.get(uid)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow(self._list())
            except (httpx.HTTPError, ApiError, Expired, json.JSONDecodeError):
                self._stop.wait(0.1)

    def _list(self) -> str:
        listed = self._api.get(self._collection, **self._params)
        fresh = {item["metadata"]["uid"]: item for item in listed.get("items") or []}
        with self._guard:
            before, self._objects = self._objects, dict(fresh)
        for uid in {**before, **fresh}:
            old, new = before.get(uid), fresh.get(uid)
            if old is None or new is None or _version(old) != _version(new):
                self._changed(old, new)
        self.synced.set()
        return str(listed["metadata"]["resourceVersion"])

    def _follow(self, version: str) -> None:
        while not self._stop.is_set():
            for event in self._api.watch(self._collection, version, **self._params):
                version = _version(event.object)
                if event.kind != "BOOKMARK":
                    self._take(event)
                if self._stop.is_set():
                    return

    def _take(self, event: Event) -> None:
        uid = event.object["metadata"]["uid"]
        new = None if event.kind == "DELETED" else event.object
        with self._guard:
            old = self._objects.pop(uid, None)
            if new is not None:
                self._objects[uid] = new
        self._changed(old if new is not None else (event.object if old is None else old), new)


def name_of(thing: Mapping[str, Any]) -> str:
    """Return an object's name."""
    return str(thing["metadata"]["name"])


def labels_of(thing: Mapping[str, Any]) -> dict[str, str]:
    """Return an object's labels, empty if it has none."""
    return thing["metadata"].get("labels") or {}


def _version(thing: Object) -> str:
    return str(thing["metadata"]["resourceVersion"])


def _named(entries: list[Object], name: str) -> Object:
    return next(entry for entry in entries if entry["name"] == name)


def _refusal(path: str, reply: httpx.Response) -> Exception:
    return Expired(reply.text) if reply.status_code == 410 else ApiError("WATCH", path, reply)


def _json(reply: httpx.Response) -> Object:
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}

"""The API server of the model: answers requests in the words of a real one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.model.deletion import Deletion
from tests.model.merge_patches import merged
from tests.model.pod_logs import LogStream, PodLogs
from tests.model.refusals import (
    Refusal,
    bad_request,
    expired,
    invalid,
    no_right,
    not_found,
    other_uid,
    over_quota,
    terminating,
    unauthorized,
)
from tests.model.resources import ALL, JOBS, NAMESPACES, PODS, Object, Place, Resource, place_of
from tests.model.selectors import chooser
from tests.model.store import Store
from tests.model.watching import Watch

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    user: str = "airflow"


@dataclass(frozen=True)
class Answer:
    """
    A reply.

    :param body: an object, text, or a stream.
    """

    status: int
    body: Object | str | Watch | LogStream


class Server:
    """
    Answers, and can be set to misbehave.

    :param forbidden: (verb, plural) that nobody may; ``*`` stands for all.
    :param tokens_are_bad: each request is refused with 401.
    :param most_jobs: that a namespace may hold; ``None`` for any number.
    :param lacks: groups that nobody has installed.
    :param logs: what pods have written.
    :param log_of: text of a pod's log.
    """

    def __init__(self, store: Store, deletion: Deletion) -> None:
        self._store, self._deletion = store, deletion
        self._watches: list[Watch] = []
        self._pages: dict[str, tuple[list[Object], int]] = {}
        self.forbidden: set[tuple[str, str]] = set()
        self.tokens_are_bad = False
        self.most_jobs: int | None = None
        self.lacks: set[str] = set()
        self.logs = PodLogs(store)
        self.log_of: Callable[[Object], str] = self.logs.text

    def answer(self, asked: Asked) -> Answer:
        """Do what a request asks for; it takes effect now."""
        try:
            if self.tokens_are_bad:
                raise unauthorized()
            return self._answer(asked)
        except Refusal as refusal:
            return Answer(refusal.code, refusal.body)

    def restart(self) -> None:
        """Break all streams, and forget what changed, as a restarted server does."""
        self.drop_streams()
        self._pages.clear()
        self._store.forget()

    def drop_streams(self) -> None:
        """Cut all streams in the middle of a chunk."""
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.end(cut=True)

    def _answer(self, asked: Asked) -> Answer:
        if asked.path in ("/apis", "/api", "/version"):
            return Answer(200, _discovery(asked.path, self.lacks))
        if asked.path.endswith("/selfsubjectrulesreviews"):
            return Answer(201, {**asked.body, "status": self._rules()})
        place = place_of(asked.path)
        if place is None:
            group = _group_discovery(asked.path)
            return Answer(200, group) if group else Answer(404, "404 page not found\n")
        if "/namespaces//" in asked.path:
            raise bad_request("Namespace parameter required.")
        self._refuse_without_right(asked, place)
        doors: dict[str, Callable[[Asked, Place], Answer]] = {
            "GET": self._read,
            "POST": self._create,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        return doors[asked.method](asked, place)

    def _refuse_without_right(self, asked: Asked, place: Place) -> None:
        watches = asked.query.get("watch") in ("true", "1")
        reads = "get" if place.name else "watch" if watches else "list"
        verbs = {"POST": "create", "PATCH": "patch", "DELETE": "delete", "GET": reads}
        verb, plural = verbs[asked.method], place.resource.plural
        if self.forbidden & {(verb, plural), ("*", plural), (verb, "*")}:
            raise no_right(asked.user, verb, place.resource, place.namespace)

    def _rules(self) -> Object:
        verbs = ("get", "list", "watch", "create", "patch", "delete")
        rules = []
        for resource in ALL:
            taken = {
                verb
                for verb in verbs
                for one in ((verb, resource.plural), ("*", resource.plural), (verb, "*"))
                if one in self.forbidden
            }
            left = [verb for verb in verbs if verb not in taken]
            if left:
                rules.append(
                    {"verbs": left, "apiGroups": [resource.group], "resources": [resource.plural]}
                )
        rules.append({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]})
        return {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}

    def _read(self, asked: Asked, place: Place) -> Answer:
        if place.part == "log":
            return self._log(asked, self._store.get(PODS, place.namespace, place.name))
        if place.name:
            return Answer(200, self._store.get(place.resource, place.namespace, place.name))
        if asked.query.get("watch") in ("true", "1"):
            return Answer(200, self._watch(asked, place))
        return Answer(200, self._list(asked, place))

    def _log(self, asked: Asked, pod: Object) -> Answer:
        status = pod.get("status") or {}
        if not pod["spec"].get("nodeName"):
            return Answer(204, "")
        for one in status.get("containerStatuses") or ():
            if reason := (one["state"].get("waiting") or {}).get("reason"):
                where = f'container "{one["name"]}" in pod "{pod["metadata"]["name"]}"'
                raise bad_request(f"{where} is waiting to start: {reason}")
        if asked.query.get("follow") in ("true", "1"):
            since = asked.query.get("sinceTime", "")
            return Answer(200, self.logs.follow(pod, self.log_of(pod), since))
        lines = self.log_of(pod).splitlines(keepends=True)
        return Answer(200, "".join(lines[-int(asked.query.get("tailLines") or len(lines) or 1) :]))

    def _watch(self, asked: Asked, place: Place) -> Watch:
        since = int(asked.query.get("resourceVersion") or self._store.version)
        watch = Watch(
            self._store,
            place.resource,
            chooser(asked.query, place.namespace),
            since,
            bookmarks=asked.query.get("allowWatchBookmarks") == "true",
        )
        if "timeoutSeconds" in asked.query:
            watch.end_after(self._store.clock, float(asked.query["timeoutSeconds"]))
        self._watches = [one for one in self._watches if not one.is_over] + [watch]
        return watch

    def _list(self, asked: Asked, place: Place) -> Object:
        token, limit = asked.query.get("continue", ""), int(asked.query.get("limit") or 0)
        if token:
            if token not in self._pages:
                raise expired(0, self._store.version)
            found, version = self._pages[token]
        else:
            chooses = chooser(asked.query, place.namespace)
            found = [one for one in self._store.all(place.resource) if chooses(one)]
            version = self._store.version
        page, rest = (found[:limit], found[limit:]) if limit else (found, [])
        metadata: Object = {"resourceVersion": str(version)}
        if rest:
            # All pages show the state of the first one.
            metadata["continue"] = following = _token(rest, version)
            self._pages[following] = (rest, version)
        kind = place.resource
        # Objects in lists do not say what they are.
        items = [{k: v for k, v in one.items() if k not in ("kind", "apiVersion")} for one in page]
        shown = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version}
        return {**shown, "metadata": metadata, "items": items}

    def _create(self, asked: Asked, place: Place) -> Answer:
        thing, resource, namespace = asked.body, place.resource, place.namespace
        metadata = thing["metadata"] = {**thing["metadata"]}
        name = str(metadata.get("name", ""))
        if metadata.setdefault("namespace", namespace) != namespace:
            text = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(text)
        if not _NAME.fullmatch(name) or len(name) > 63:
            problem = f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters'
            raise invalid(resource, name, "metadata.name", problem)
        self._refuse_by_namespace(resource, namespace, name)
        keeps = asked.query.get("dryRun") != "All"
        return Answer(201, self._store.create(resource, thing, keeps=keeps))

    def _refuse_by_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        home = self._store.find(NAMESPACES, "", namespace)
        if home is None:
            raise not_found(NAMESPACES, namespace)
        if "deletionTimestamp" in home["metadata"]:
            raise terminating(resource, name, namespace)
        if resource == JOBS and self.most_jobs is not None:
            used = sum(one["metadata"]["namespace"] == namespace for one in self._store.all(JOBS))
            if used >= self.most_jobs and self._store.find(JOBS, namespace, name) is None:
                raise over_quota(resource, name, used)

    def _patch(self, asked: Asked, place: Place) -> Answer:
        if asked.content_type != _MERGE:
            raise Refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type")
        stands = self._store.get(place.resource, place.namespace, place.name)
        wanted = merged(place.resource, stands, asked.body)
        return Answer(200, self._store.replace(place.resource, wanted))

    def _delete(self, asked: Asked, place: Place) -> Answer:
        options = asked.body or {}
        stands = self._store.get(place.resource, place.namespace, place.name)
        wanted = (options.get("preconditions") or {}).get("uid", stands["metadata"]["uid"])
        if wanted != stands["metadata"]["uid"]:
            raise other_uid(place.resource, place.name, wanted, stands["metadata"]["uid"])
        policy = str(options.get("propagationPolicy", ""))
        grace = options.get("gracePeriodSeconds")
        self._deletion.delete(place.resource, stands, policy, grace)
        now = self._store.find(place.resource, place.namespace, place.name)
        if now is not None:
            return Answer(200, now)
        details = {"name": place.name, "uid": stands["metadata"]["uid"]}
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return Answer(200, {**done, "details": details})


def _token(rest: list[Object], version: int) -> str:
    position = json.dumps([version, rest[0]["metadata"]["name"], len(rest)])
    return base64.urlsafe_b64encode(position.encode()).decode()


def _discovery(path: str, lacks: Container[str]) -> Object:
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    versions: dict[str, list[Object]] = {}
    for resource in ALL:
        shown = {"groupVersion": resource.api_version, "version": resource.version}
        if resource.group and shown not in versions.setdefault(resource.group, []):
            versions[resource.group].append(shown)
    groups = [
        {"name": group, "versions": all_, "preferredVersion": all_[0]}
        for group, all_ in versions.items()
        if group not in lacks
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group_discovery(path: str) -> Object | None:
    """Return the kinds of one group and version; ``None`` if there is no such group."""
    wanted = path.removeprefix("/apis/").removeprefix("/api/")
    kinds = [resource for resource in ALL if resource.api_version == wanted]
    listed = [
        {"name": kind.plural, "kind": kind.kind, "namespaced": kind.is_namespaced} for kind in kinds
    ]
    shown = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": wanted}
    return {**shown, "resources": listed} if listed else None

"""A control plane that answers by hand: replies, items, and a small one that keeps workloads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.settings import Settings
from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.project import Project
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.errors import Unreachable
from tests.core.stage import NOON, Hand

PROJECT = Project("4501", "team-a", "cluster-1")
BACKEND: Backend = RunaiBackend(Settings("https://org.run.ai", "me", "secret"))
PAGE = "<html><body><h1>502 Bad Gateway</h1></body></html>"


def reply(body: Any = None, status: int = 200, **headers: str) -> Reply:
    return Reply(status, NOON, body, json.dumps(body) if body is not None else "", headers)


def html(status: int = 200) -> Reply:
    return Reply(status, NOON, None, PAGE, {"content-type": "text/html; charset=utf-8"})


def item(identity: str = "w-1", phase: str = "Running", **more: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "name": f"{identity}-g1",
        "phase": phase,
        "projectId": "4501",
        "type": "Training",
        **more,
    }


def order(name: str = "train-0123456789-g1", **spec: Any) -> SubmissionRequest:
    return SubmissionRequest(name, WorkloadSpec.from_mapping({"image": "a:1", **spec}), 1)


@dataclass
class Answers:
    """
    Hand-fed replies, one after the other; an exception is thrown, the last answer is repeated.
    """

    given: list[Reply | Exception | Callable[[Request], Reply]]

    def __call__(self, request: Request) -> Reply:
        answer = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    @classmethod
    def hand(cls, *given: Reply | Exception | Callable[[Request], Reply]) -> Hand:
        return Hand(answer=cls(list(given)))


@dataclass
class SmallPlane:
    """
    Keeps workloads by name, as the real one does: a name can be taken once.

    :param on_create: called with the number of the create (from 1); may return a reply of its own
        (nothing is made), or raise (after it was made, if it says so with ``made=True``).
    :param lag: how many list calls do not show a fresh workload.
    :param duplicate: answer to a name that is taken.
    """

    on_create: Callable[[int], Reply | Exception | None] = lambda number: None
    lose_reply_of: tuple[int, ...] = ()
    lag: int = 0
    duplicate: Reply = field(default_factory=lambda: reply({"message": "name already exists"}, 409))
    list_answers: dict[int, Reply | Exception] = field(default_factory=dict)
    shows_variables: bool = True
    workloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    creates: int = 0
    lists: int = 0

    def hand(self) -> Hand:
        return Hand(answer=self)

    def __call__(self, request: Request) -> Reply:
        if request.method == "POST":
            return self._create(request.json or {})
        if request.path == "/api/v1/workloads":
            return self._list(dict(request.params))
        identity = request.path.rsplit("/", 1)[1]
        found = next(w for w in self.workloads.values() if w["workloadId"] == identity)
        return reply(found)

    def _create(self, body: Mapping[str, Any]) -> Reply:
        self.creates += 1
        instead = self.on_create(self.creates)
        if isinstance(instead, Exception):
            raise instead
        if instead:
            return instead
        name = str(body["name"])
        if name in self.workloads:
            return self.duplicate
        self.workloads[name] = {
            "workloadId": f"id-{self.creates}",
            "actualPhase": "Creating",
            **body,
        }
        if self.creates in self.lose_reply_of:
            raise Unreachable("the connection was closed without an answer")
        return reply(self.workloads[name], 202)

    def _list(self, params: Mapping[str, str]) -> Reply:
        self.lists += 1
        planned = self.list_answers.get(self.lists)
        if isinstance(planned, Exception):
            raise planned
        if planned:
            return planned
        if self.lists <= self.lag or params.get("deleted"):
            return reply({"workloads": []})
        return reply({"workloads": [self._listed(w) for w in self.workloads.values()]})

    def _listed(self, workload: Mapping[str, Any]) -> dict[str, Any]:
        variables = {
            v["name"]: v["value"] for v in workload["spec"]["environmentVariables"] if "value" in v
        }
        shown = {"environmentVariables": variables} if self.shows_variables else {}
        return {**item(workload["workloadId"], "Creating"), "name": workload["name"], **shown}

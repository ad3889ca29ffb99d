"""Flows that ask the model's server, on the clock of its stage."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.project import Project
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Unreachable
from tests.core.stage import Hand
from tests.model.conftest import Stage
from tests.model.resources import Object
from tests.model.server import Asked

T = TypeVar("T")

TEAM = Project("team-b", "team-b", "model", "team-b")


def cluster_of(dialect: str | None = None) -> KnownCluster:
    return KnownCluster(ClusterSettings("model", dialect=dialect))


class Client:
    """
    Asks the cluster of a stage.

    :ivar asked: what was sent.
    :ivar is_away: nobody answers.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.asked: list[Request] = []
        self.is_away = False

    def ask(self, flow: Flow[T]) -> T:
        hand = Hand(answer=self._answer, now=self._stage.clock.now())
        return hand.run(flow)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.asked]

    def _answer(self, request: Request) -> Reply:
        self.asked.append(request)
        if self.is_away:
            raise Unreachable("nobody there")
        asked = Asked(request.method, request.path, dict(request.params), request.json)
        answer, moment = self._stage.cluster.server.answer(asked), self._stage.clock.now()
        content = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        if request.decode is None or answer.status >= 300:
            body: Any = None if isinstance(answer.body, str) else answer.body
        else:
            body = request.decode(content.encode()) if content else None
        return Reply(answer.status, moment, body, content[:200])


def workload(job: Object, phase: str = "Pending") -> Workload:
    """Return what a wait knows of a Job."""
    meta = job["metadata"]
    return Workload(meta["uid"], meta["name"], phase, meta["namespace"], "model", "Training")

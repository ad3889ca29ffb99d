"""A cluster of the model, and a client that watches it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.model.clock import SteppedClock
from tests.model.cluster import Cluster
from tests.model.conditions import condition
from tests.model.kubelet import Life, finished_at
from tests.model.resources import JOBS, PODS, Object
from tests.model.server import Answer, Asked
from tests.model.watching import Watch

JOB_PATH, POD_PATH = "/apis/batch/v1/namespaces/{}/jobs", "/api/v1/namespaces/{}/pods"


class Stage:
    """
    A cluster, a clock, and what one client sees.

    :param lives: of the pods of a Job, by its name; the last one repeats.
    """

    def __init__(self, **options: Any) -> None:
        self.clock = SteppedClock()
        self.lives: dict[str, list[Life]] = {}
        self._bound: dict[str, int] = {}
        self.cluster = Cluster(self.clock, life_of=self._life_of, **options)

    def submit(
        self, name: str, *lives: Life, team: str = "team-b", gpus: int = 1, **spec: Any
    ) -> Object:
        """Create a Job whose pods live so."""
        self.lives[name] = list(lives) or [Life()]
        return dict(self.ask("POST", JOB_PATH.format(team), job(name, team, gpus, **spec)))

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Object:
        """Send a request, and return the object that answers."""
        answer = self.answer(method, path, body, **query)
        assert isinstance(answer.body, dict)
        return answer.body

    def answer(self, method: str, path: str, body: Any = None, **query: str) -> Answer:
        """Send a request."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return self.cluster.server.answer(Asked(method, path, query, body, kind))

    def watch(self, path: str, since: str = "", **query: str) -> Watch:
        """Open a stream."""
        asked = {"watch": "true", "allowWatchBookmarks": "true", **query}
        asked |= {"resourceVersion": since} if since else {}
        stream = self.answer("GET", path, **asked).body
        assert isinstance(stream, Watch)
        return stream

    def patch(self, name: str, change: Object, team: str = "team-b") -> Object:
        """Change a Job."""
        return self.ask("PATCH", f"{JOB_PATH.format(team)}/{name}", change)

    def delete(self, name: str, team: str = "team-b", **options: Any) -> Object:
        """Delete a Job."""
        return self.ask("DELETE", f"{JOB_PATH.format(team)}/{name}", options)

    def status(self, name: str, team: str = "team-b") -> Object:
        """Return the status of a Job."""
        found = self.cluster.store.get(JOBS, team, name)
        return dict(found.get("status") or {})

    def is_true(self, name: str, type: str) -> str:
        """Return the reason of a condition that is true; empty if it is not."""
        found = condition({"status": self.status(name)}, type)
        return str(found["reason"]) if found else ""

    def pods(self, name: str) -> list[Object]:
        """Return the pods that bear a Job's name."""
        key = "batch.kubernetes.io/job-name"
        return [
            one for one in self.cluster.store.all(PODS) if one["metadata"]["labels"][key] == name
        ]

    def gaps(self, name: str, number: int) -> list[float]:
        """Return the seconds between the end of a pod and the creation of the next."""
        born: dict[str, float] = {}
        ended: dict[str, float] = {}
        while len(born) <= number:
            self.clock.advance(0.5)
            for pod in self.pods(name):
                uid = pod["metadata"]["uid"]
                born.setdefault(uid, self.clock.now())
                if (at := finished_at(pod)) is not None:
                    ended[uid] = at
        later = list(born.values())[1:]
        return [birth - end for end, birth in zip(ended.values(), later, strict=False)]

    def _life_of(self, pod: Object) -> Life:
        name = pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]
        number = self._bound[name] = self._bound.get(name, -1) + 1
        lives = self.lives.get(name) or [Life()]
        return lives[min(number, len(lives) - 1)]


def job(name: str, team: str, gpus: int, **spec: Any) -> Object:
    """Return a Job as a client of KAI writes it."""
    labels = {"kai.scheduler/queue": team, "app.kubernetes.io/managed-by": "airflow-runai"}
    amount = {"limits": {"nvidia.com/gpu": str(gpus)}, "requests": {"cpu": "100m"}}
    pod = {
        "schedulerName": "kai-scheduler",
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 4,
        "containers": [{"name": "training", "image": "training", "resources": amount}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"podReplacementPolicy": "Failed", "template": template, **spec},
    }


@pytest.fixture
def stage() -> Stage:
    """A cluster with two GPUs, of which each team has one by right."""
    return Stage()

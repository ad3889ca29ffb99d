"""People and accidents on a cluster, beside those that every platform knows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.model.kubelet import phase_of
from tests.model.resources import Object
from tests.simulation.history import Act, Life
from tests.simulation.kubernetes.connection import NAMESPACE
from tests.simulation.kubernetes.training import MANAGED, Training
from tests.simulation.kubernetes.wire import ClusterWire
from tests.simulation.kubernetes.world import (
    ENDED,
    OWNER,
    ClusterWorld,
    plain_job,
)
from tests.simulation.people import People

#: Seconds for which a server that was just started refuses everybody, at most.
REFUSING = 20.0
#: What somebody may write into an annotation of ours.
GARBAGE = {
    "empty": "",
    "text": "somebody was here",
    "json": '{"lives": 7, "spec": []}',
    "deep": "[" * 3000,
    "long": "7" * 200_000,
}


class ClusterPeople(People):
    """Carries out the acts of a history that is played on a cluster."""

    world: ClusterWorld
    wire: ClusterWire

    def _deeds(self) -> dict[str, Callable[[Act], object]]:
        pods: Mapping[str, Callable[[Object], object]] = {
            "delete pod": self.world.model.delete_pod,
            "evict pod": self.world.model.drain,
            "preempt": self.world.reclaim,
            "lose node": self._lose_node,
            "relabel pod": self._relabel_pod,
        }
        return {
            **super()._deeds(),
            **{what: partial(self._to_pods, deed) for what, deed in pods.items()},
            "delete": lambda act: self._steer(
                partial(self.world.delete, policy=act.detail or "Background")
            ),
            "relabel": lambda act: self._edit(partial(_relabel, act.detail)),
            "annotate": lambda act: self._edit(partial(_annotate, *act.detail.split())),
            "copy": lambda act: self._copy_of(lambda name: f"{name}-copy"),
            "impostor": lambda act: self._impostor(),
            "API server restarts": lambda act: self.wire.restart(
                act.seconds, min(REFUSING, act.seconds)
            ),
            "streams break": lambda act: self.world.model.server.drop_streams(),
            "streams fall silent": lambda act: self._fall_silent(),
            "controller restarts": lambda act: self.world.model.jobs.restart(),
            "quota is full": self._fill_quota,
            "right is taken": self._take_right,
            "pods are refused": self._refuse_pods,
            "token is lost": lambda act: self.wire.lose_token(act.seconds),
            "namespace goes": self._delete_namespace,
        }

    @property
    def _newest(self) -> Training | None:
        mine = [one for one in self.world.trainings if one.task]
        return mine[-1] if mine else None

    def _to_pods(self, deed: Callable[[Object], object], act: Act) -> None:
        newest = self._newest
        for pod in self.world.pods_of(newest) if newest else ():
            stays = phase_of(pod) not in ENDED and "deletionTimestamp" not in pod["metadata"]
            if stays and (act.what != "preempt" or pod["spec"].get("nodeName")):
                deed(pod)

    def _lose_node(self, pod: Object) -> None:
        """Lose the pod's node; others are left."""
        node = pod["spec"].get("nodeName")
        if node and node not in self.world.model.kubelet.dead:
            self.world.model.add_node(f"{node}0", 64)
            self.world.model.lose_node(node)

    def _relabel_pod(self, pod: Object) -> None:
        self.world.relabel(pod, MANAGED)

    def _edit(self, change: Callable[[Object], object]) -> None:
        newest = self._newest
        if newest:
            self.world.edit(newest, change)

    def _copy_of(self, rename: Callable[[str], str]) -> None:
        """Submit by hand what looks like one of ours."""
        newest = self._newest
        job = self.world.job_of(newest) if newest else None
        if job is not None:
            self.world.make(_copied(job, rename(job["metadata"]["name"])), Life())

    def _impostor(self) -> None:
        """Make a Job that has the name of our next one, and nothing else of ours."""
        newest = self._newest
        base, _, number = (newest.name if newest else "").rpartition("-g")
        if base:
            self.world.make(plain_job(f"{base}-g{int(number) + 1}"), Life())

    def _fall_silent(self) -> None:
        self.wire.silent_since = self.airflow.loop.time()

    def _fill_quota(self, act: Act) -> None:
        server = self.world.model.server
        server.most_jobs = 0
        self.airflow.later(act.seconds, lambda: setattr(server, "most_jobs", None))

    def _refuse_pods(self, act: Act) -> None:
        """Let a quota leave no room for pods; their Jobs are taken."""
        jobs = self.world.model.jobs
        jobs.problem = "exceeded quota: objects, requested: pods=1, used: pods=9, limited: pods=9"
        self.airflow.later(act.seconds, lambda: setattr(jobs, "problem", ""))

    def _delete_namespace(self, act: Act) -> None:
        """Delete the namespace with all that is in it; it is made again some time later."""
        self.world.delete_namespace()
        remade = partial(self.world.model.add_namespace, NAMESPACE)
        self.airflow.later(act.seconds, remade)

    def _take_right(self, act: Act) -> None:
        verb, plural = act.detail.split()
        forbidden = self.world.model.server.forbidden
        forbidden.add((verb, plural))
        self.airflow.later(act.seconds, lambda: forbidden.discard((verb, plural)))


def _copied(job: Object, name: str) -> Object:
    """Return a Job as somebody writes it who has exported another one."""
    made = copy.deepcopy(job)
    metadata = made["metadata"]
    kept = {key: metadata[key] for key in ("labels", "annotations", "namespace") if key in metadata}
    made["metadata"] = {"name": name, **kept}
    made.pop("status", None)
    labels = made["spec"]["template"]["metadata"].get("labels") or {}
    labels.pop(OWNER, None)
    return made


def _relabel(key: str, job: Any) -> None:
    job["metadata"].get("labels", {}).pop(key, None)


def _annotate(key: str, garbage: str, job: Any) -> None:
    job["metadata"].setdefault("annotations", {})[key] = GARBAGE[garbage]

"""A whole cluster of the model, and what people and accidents do to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.model.clock import Clock
from tests.model.conditions import set_condition
from tests.model.deletion import Deletion
from tests.model.jobs import JobController
from tests.model.jobsets import JobSetController
from tests.model.kai import Kai
from tests.model.kubelet import Kubelet, Life
from tests.model.namespaces import NamespaceController
from tests.model.resources import (
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    PRIORITIES,
    QUEUES,
    Object,
)
from tests.model.server import Server
from tests.model.store import Store

#: KAI's classes, and what they are worth.
_CLASSES = {"train": 50, "build-preemptible": 75, "build": 100, "inference": 125}


class Cluster:
    """
    A cluster with KAI: nodes with GPUs, and a queue and a namespace for each team.

    :param quotas: GPUs of each team.
    :param life_of: what the containers do; by default, see :class:`Life`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        gpus: int = 2,
        quotas: dict[str, int] | None = None,
        life_of: Callable[[Object], Life] = lambda pod: Life(),
        **kai: Any,
    ) -> None:
        self.clock, self.life_of = clock, life_of
        self.store = Store(clock)
        self.deletion = Deletion(self.store)
        self.server = Server(self.store, self.deletion)
        self.jobs = JobController(self.store, self.deletion)
        self.sets = JobSetController(self.store, self.deletion)
        self.namespaces = NamespaceController(self.store, self.deletion)
        self.kubelet = Kubelet(self.store, self.deletion, lambda pod: self.life_of(pod))
        self.kai = Kai(self.store, self.deletion, **kai)
        self.add_node("node-0", gpus)
        for name, value in _CLASSES.items():
            self.store.create(PRIORITIES, {"metadata": {"name": name}, "value": value})
        self._add_queue("pool", "", gpus)
        for team, quota in (quotas or {"team-a": 1, "team-b": 1}).items():
            self.add_namespace(team)
            self._add_queue(team, "pool", quota)

    def add_node(self, name: str, gpus: int) -> None:
        """Add a node that is ready."""
        amount = {"cpu": "32", "memory": "128Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
        ready = [{"type": "Ready", "status": "True"}]
        self.store.create(
            NODES,
            {
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "spec": {},
                "status": {"allocatable": amount, "capacity": amount, "conditions": ready},
            },
        )

    def add_namespace(self, name: str) -> None:
        """Make a namespace, unless it is there."""
        if self.store.find(NAMESPACES, "", name) is None:
            self.store.create(NAMESPACES, {"metadata": {"name": name}})

    def job(self, namespace: str, name: str) -> Object | None:
        """Return a Job."""
        return self.store.find(JOBS, namespace, name)

    def pods_of(self, job: Object) -> list[Object]:
        """Return the pods of a Job, those without an owner too, oldest first."""
        key, uid = "batch.kubernetes.io/controller-uid", job["metadata"]["uid"]
        labels = [(one, one["metadata"].get("labels") or {}) for one in self.store.all(PODS)]
        return [one for one, own in labels if own.get(key) == uid]

    def drain(self, pod: Object) -> None:
        """Evict a pod as an administrator does."""
        words = "Eviction API: evicting"
        self._disrupt(pod, "EvictionByEvictionAPI", words)
        self.deletion.delete(PODS, pod)

    def delete_pod(self, pod: Object) -> None:
        """Delete a pod as a person does: nobody says why."""
        self.deletion.delete(PODS, pod)

    def lose_node(self, name: str) -> None:
        """Lose a node with all that runs there, and let the taint manager notice."""
        self.kubelet.dead.add(name)
        node = self.store.get(NODES, "", name)
        lost = [{"type": "Ready", "status": "Unknown"}]
        self.store.change(NODES, node, lambda one: one["status"].update(conditions=lost))
        for pod in list(self.store.all(PODS)):
            if pod["spec"].get("nodeName") == name:
                words = "Taint manager: deleting due to NoExecute taint"
                self._disrupt(pod, "DeletionByTaintManager", words)
                self.deletion.delete(PODS, pod)
                self.clock.after(5.0, partial(self._forget, pod))

    def _forget(self, pod: Object) -> None:
        """Do what the garbage collector of pods does for a node that does not come back."""
        self.store.change(PODS, pod, lambda one: one["status"].update(phase="Failed"))
        self.deletion.end_grace(pod)

    def _disrupt(self, pod: Object, reason: str, words: str) -> None:
        now = self.clock.now()
        self.store.change(
            PODS, pod, lambda one: set_condition(one, now, "DisruptionTarget", reason, words)
        )

    def _add_queue(self, name: str, parent: str, quota: int) -> None:
        unlimited = {"quota": -1, "limit": -1, "overQuotaWeight": 1}
        gpu = {"quota": quota, "limit": -1, "overQuotaWeight": 1}
        resources = {"cpu": unlimited, "memory": unlimited, "gpu": gpu}
        spec = {"resources": resources, **({"parentQueue": parent} if parent else {})}
        self.store.create(QUEUES, {"metadata": {"name": name}, "spec": spec})

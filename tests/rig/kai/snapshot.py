"""
The picture of a cluster that one scheduling cycle works on: nodes, queues, groups and their pods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rig.kai import amounts
from tests.rig.kai.amounts import Amount

__all__ = [
    "GROUP_ANNOTATION",
    "SCHEDULER",
    "STALE_ANNOTATION",
    "Group",
    "Node",
    "Pod",
    "Queue",
    "Snapshot",
]

Object = dict[str, Any]
SCHEDULER = "kai-scheduler"
GROUP_ANNOTATION = "pod-group-name"
STALE_ANNOTATION = "kai.scheduler/stale-podgroup-timestamp"


@dataclass(frozen=True)
class Node:
    """A node that is there: what it has, and what else tells which pods may run on it."""

    name: str
    room: Amount
    labels: Mapping[str, str]
    taints: tuple[Object, ...] = ()


@dataclass(frozen=True)
class Pod:
    """
    A pod that has not ended.

    :param node: where it is bound; empty while it waits.
    :param leaving: it has been told to go.
    """

    uid: str
    namespace: str
    name: str
    asks: Amount
    node: str
    leaving: bool
    raw: Object = field(repr=False, compare=False)

    @property
    def path(self) -> str:
        """``namespace/name``, as KAI's texts have it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Queue:
    """
    A queue; None where a number is unlimited.

    :param age: rank by creation, 0 is the oldest.
    """

    name: str
    parent: str
    age: int
    quota: Mapping[str, float | None]
    limit: float | None
    weight: float
    priority: int


@dataclass(frozen=True)
class Group:
    """
    A PodGroup with those of its pods that have not ended.

    :param minimum: pods that start and stay together.
    :param succeeded: one of its pods has ended well (KAI then never calls the group stale).
    """

    namespace: str
    name: str
    queue: str
    priority: int
    preemptible: bool
    created: float
    minimum: int
    pods: tuple[Pod, ...]
    succeeded: bool
    raw: Object = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def waiting(self) -> tuple[Pod, ...]:
        """Pods that want a node."""
        return tuple(pod for pod in self.pods if not pod.node and not pod.leaving)

    @property
    def active(self) -> tuple[Pod, ...]:
        """Pods on a node, those that are leaving too."""
        return tuple(pod for pod in self.pods if pod.node)

    @property
    def running(self) -> tuple[Pod, ...]:
        """Pods on a node that have not been told to go."""
        return tuple(pod for pod in self.active if not pod.leaving)


@dataclass(frozen=True)
class Snapshot:
    """
    All that a cycle knows.

    :param strangers: pods on a node that are in no group: of another scheduler, or of a group that
        is gone already, as it is for the grace of a pod whose Job was deleted.
    :param claims: ``namespace/name`` of the persistent volume claims that exist.
    """

    nodes: tuple[Node, ...]
    queues: Mapping[str, Queue]
    groups: tuple[Group, ...]
    strangers: tuple[Pod, ...]
    claims: frozenset[str] = frozenset()

    def asked(self, queue: str) -> Amount:
        """What all pods of a queue ask for together, without those that are leaving."""
        return self._sum(queue, lambda group: (*group.waiting, *group.running))

    def used(self, queue: str) -> Amount:
        """What the pods of a queue hold, without those that are leaving."""
        return self._sum(queue, lambda group: group.running)

    def firm(self, queue: str) -> Amount:
        """The part of it that cannot be taken away."""
        return self._sum(queue, lambda group: () if group.preemptible else group.running)

    def is_parent(self, queue: str) -> bool:
        """Whether the queue has queues below it."""
        return any(other.parent == queue for other in self.queues.values())

    def _sum(self, queue: str, pods: Callable[[Group], Iterable[Pod]]) -> Amount:
        return amounts.total(
            pod.asks for group in self.groups if group.queue == queue for pod in pods(group)
        )

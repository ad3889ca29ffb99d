"""How each kind of cluster takes GPUs away from a queue: what a rival is there, and what it is owed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.rig import objects
from tests.rig.api import Object
from tests.rig.lanes import Lane

GPU = "nvidia.com/gpu"
#: The quota of each queue of a lane.
QUOTA = 2


@dataclass(frozen=True)
class Rivalry:
    """
    One kind of cluster.

    :param dialect: one of :data:`DIALECTS`.
    :param classes: of priorities, low and high.
    :param share: gives the two queues of a lane their quotas.
    :param queue_label: of the queue.
    :param labels: of a rival that is never taken away.
    :param pod: what the specification of its pods has.
    :param suspended: whether its Job is created so.
    """

    dialect: str
    classes: Mapping[str, str]
    share: Callable[[Lane, int, int], None]
    queue_label: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    pod: Mapping[str, str] = field(default_factory=dict)
    suspended: bool = False

    def rival(self, lane: Lane, name: str, gpus: int) -> Object:
        """Return a Job of the other queue, which runs until it is deleted."""
        labels = {**self.labels, **({self.queue_label: lane.queues[1]} if self.queue_label else {})}
        container = {
            "name": "main",
            "image": "rival:1",
            "command": ["sleep", "3600"],
            "resources": {"limits": {GPU: str(gpus)}, "requests": {"cpu": "1", "memory": "1Gi"}},
        }
        spec = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": lane.node_selector,
            "containers": [container],
            **self.pod,
        }
        template = {"metadata": {"labels": labels}, "spec": spec}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": labels},
            "spec": {"suspend": self.suspended, "template": template},
        }


def _share_kai(lane: Lane, ours: int, theirs: int) -> None:
    for queue, quota in zip(lane.queues, (ours, theirs), strict=True):
        objects.add_queue(lane.cluster.api, queue, quota, parent=lane.name)


def _share_kueue(lane: Lane, ours: int, theirs: int) -> None:
    for queue, gpus in zip(lane.queues, (ours, theirs), strict=True):
        objects.add_quota_queue(
            lane.cluster.api, queue, cohort=lane.name, flavor=lane.name, gpus=gpus
        )


def _share_nothing(lane: Lane, ours: int, theirs: int) -> None:
    """Priorities alone decide there."""


KAI = Rivalry(
    "kai",
    {"low": "train", "high": "build-preemptible"},
    _share_kai,
    "kai.scheduler/queue",
    {"kai.scheduler/preemptibility": "non-preemptible"},
    {"schedulerName": "kai-scheduler"},
)
KUEUE = Rivalry(
    "kueue",
    {"low": "low", "high": "high"},
    _share_kueue,
    "kueue.x-k8s.io/queue-name",
    suspended=True,
)
PLAIN = Rivalry(
    "plain",
    {"low": "train", "high": "build-preemptible"},
    _share_nothing,
    pod={"priorityClassName": "inference"},
)

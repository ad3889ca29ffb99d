"""The dialects of Kubernetes: how each kind of cluster is told about queues and priorities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Registry(NamedTuple):
    """Where a cluster keeps objects that a manifest only names: API group and resource."""

    group: str
    resource: str
    namespaced: bool = False


_PRIORITY_CLASSES = Registry("scheduling.k8s.io", "priorityclasses")


@dataclass(frozen=True)
class Dialect:
    """
    What differs between clusters.

    :param meaning: for which clusters; one sentence for the documentation.
    :param scheduler: ``schedulerName`` of pods; ``None``: the cluster's own.
    :param queue_labels: each carries the queue; without any there are no queues.
    :param queues: where queues are registered, if that is known.
    :param preemptibility_label: carries ``preemptible`` or ``non-preemptible``.
    :param priority_label: carries the name of the priority class.
    :param priority_classes: where priority classes are registered.
    :param pod_priority: whether pods name the class, too.
    :param node_pool_label: carries the name of one node pool.
    :param node_type_label: label of nodes that ``node_type`` selects, if it is always the same.
    :param labels_pods: whether pods carry what the scheduler reads, or only the Job or JobSet.
    :param shares_gpus: whether pods may ask for a part of a GPU.
    :param suspended: whether a queue starts what was created suspended.
    """

    name: str
    meaning: str
    scheduler: str | None = None
    queue_labels: tuple[str, ...] = ()
    queues: Registry | None = None
    preemptibility_label: str | None = None
    priority_label: str | None = None
    priority_classes: Registry = _PRIORITY_CLASSES
    pod_priority: bool = True
    node_pool_label: str | None = None
    node_type_label: str | None = None
    labels_pods: bool = False
    shares_gpus: bool = False
    suspended: bool = False


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            "kai",
            "clusters with KAI-Scheduler",
            scheduler="kai-scheduler",
            queue_labels=("kai.scheduler/queue",),
            queues=Registry("scheduling.run.ai", "queues"),
            preemptibility_label="kai.scheduler/preemptibility",
            priority_label="priorityClassName",
            node_pool_label="kai.scheduler/node-pool",
            labels_pods=True,
            shares_gpus=True,
        ),
        Dialect(
            "runai",
            "clusters of Run:ai, without its control plane",
            scheduler="runai-scheduler",
            queue_labels=("runai/queue", "project"),
            preemptibility_label="kai.scheduler/preemptibility",
            priority_label="priorityClassName",
            pod_priority=False,
            node_pool_label="runai/node-pool",
            node_type_label="run.ai/type",
            labels_pods=True,
            shares_gpus=True,
        ),
        Dialect(
            "kueue",
            "clusters with Kueue",
            queue_labels=("kueue.x-k8s.io/queue-name",),
            queues=Registry("kueue.x-k8s.io", "localqueues", namespaced=True),
            priority_label="kueue.x-k8s.io/priority-class",
            priority_classes=Registry("kueue.x-k8s.io", "workloadpriorityclasses"),
            pod_priority=False,
            suspended=True,
        ),
        Dialect("plain", "clusters with nothing but Kubernetes' own scheduler"),
    )
}

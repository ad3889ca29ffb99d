"""
The room in a project, asked of a cluster: its queue, its namespace, and the nodes.

Each of the three may be forbidden. The trainings are read before the free GPUs: one that starts in
between is then counted twice, and not missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_runai.backends.kubernetes.api.lists import read_all
from airflow_runai.backends.kubernetes.api.paths import JOBS, JOBSETS, PODS, ResourceKind
from airflow_runai.backends.kubernetes.capacity import node_gpus
from airflow_runai.backends.kubernetes.capacity.queues import bounds_of, held_in_all
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.trainings.evidence import OF_JOB, OF_JOBSET
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.kubernetes.namespace_load import TrainingLoad, loads
from airflow_runai.core.manifests import Dialect
from airflow_runai.core.project import Project
from airflow_runai.core.room import NO_BOUNDS, NODES, PROJECT, WORKLOADS, ProjectRoom
from airflow_runai.core.texts import cut
from airflow_runai.errors import NotResolved, Refused, Unauthorized

if TYPE_CHECKING:
    from airflow_runai.backends.kubernetes.capacity.gpu_rows import NodeRow, PodRow

T = TypeVar("T")

#: Names of node pools in an error.
_MAX_NAMES = 10


def if_told(flow: Flow[T]) -> Flow[T | None]:
    """Return ``None`` for what this identity may not read."""
    try:
        return (yield from flow)
    except Unauthorized:
        raise
    except Refused:
        return None


@dataclass(frozen=True)
class NamespaceGpus:
    """
    What lives in a project's namespace.

    :param trainings: in its queue, those that have ended included.
    :param pods: in its queue, or of these trainings.
    """

    trainings: Sequence[TrainingLoad]
    pods: Sequence[PodRow]

    def held(self, among: frozenset[str] | None = None) -> float:
        """Add up what its pods hold, on these nodes or on all."""
        on = [pod for pod in self.pods if pod.node and (among is None or pod.node in among)]
        return sum(pod.gpus for pod in on)

    def queued(self, *, queue_suspends: bool) -> float:
        """Add up what its trainings still want."""
        held: dict[str, float] = {}
        for pod in self.pods:
            uid = pod.label(OF_JOBSET) or pod.label(OF_JOB)
            held[uid] = held.get(uid, 0.0) + (pod.gpus if pod.node else 0.0)
        waiting = [one for one in self.live if queue_suspends or not one.is_paused]
        return sum(max(0.0, one.gpus - held.get(one.uid, 0.0)) for one in waiting)

    @property
    def live(self) -> list[TrainingLoad]:
        """The trainings that have not ended."""
        return [one for one in self.trainings if one.ended_at is None]


def room(
    cluster: KnownCluster, project: Project, node_pool: str | None, ended_within: float
) -> Flow[ProjectRoom]:
    """
    Read how many GPUs a project may and can have now.

    :param node_pool: only those of this pool.
    :param ended_within: seconds; name the trainings that have ended since, too.
    :raises NotResolved: if there is no such queue or node pool.
    """
    dialect = yield from cluster.dialect()
    bounds = yield from if_told(bounds_of(cluster, project))
    found = yield from if_told(in_namespace(cluster, project))
    nodes = yield from if_told(_nodes(dialect, node_pool))
    free = None if nodes is None else (yield from if_told(_free(cluster, nodes, node_pool)))
    held = None if found is None else found.held(_names(nodes) if node_pool else None)
    if bounds and bounds.held is not None and not node_pool:
        held = bounds.held
    ends = (yield from now()) - ended_within if ended_within else float("inf")
    answers = {PROJECT: bounds, WORKLOADS: found, NODES: free}
    return ProjectRoom(
        bounds.quota if bounds else NO_BOUNDS,
        held=held,
        queued=found.queued(queue_suspends=dialect.suspended) if found else 0.0,
        free=free,
        total=None if nodes is None else node_gpus.total(nodes),
        workloads=frozenset(one.name for one in found.live) if found else frozenset(),
        unread=tuple(figure for figure, value in answers.items() if value is None),
        ended=frozenset(
            one.name for one in (found.trainings if found else ()) if (one.ended_at or 0.0) >= ends
        ),
    )


def _free(cluster: KnownCluster, nodes: Sequence[NodeRow], node_pool: str | None) -> Flow[float]:
    # Queues do not tell on which nodes.
    held = None if node_pool else (yield from if_told(held_in_all(cluster)))
    return (yield from node_gpus.free(nodes, held))


def in_namespace(cluster: KnownCluster, project: Project) -> Flow[NamespaceGpus]:
    """Read the trainings of a project's queue in its namespace, and their pods."""
    # Imported here: it is not needed to parse a DAG.
    from airflow_runai.backends.kubernetes.capacity.gpu_rows import read_pods

    dialect = yield from cluster.dialect()
    label = dialect.queue_labels[0] if dialect.queue_labels else ""
    selector = [("labelSelector", f"{label}={project.name}")] if label else []
    jobs = yield from _listed(JOBS, project, selector)
    has_sets = yield from cluster.serves(JOBSETS)
    sets = (yield from _listed(JOBSETS, project, selector)) if has_sets else []
    trainings = loads(jobs, sets)
    pods = yield from read_pods(PODS.collection(project.id))
    uids = {one.uid for one in trainings}

    def is_ours(pod: PodRow) -> bool:
        if dialect.labels_pods and pod.label(label) == project.name:
            return True
        return bool(uids & {pod.label(OF_JOBSET), pod.label(OF_JOB)})

    return NamespaceGpus(trainings, [pod for pod in pods if is_ours(pod)])


def _listed(
    kind: ResourceKind, project: Project, selector: Sequence[tuple[str, str]]
) -> Flow[list[dict[str, Any]]]:
    return read_all(kind.collection(project.id), selector, dict)


def _nodes(dialect: Dialect, node_pool: str | None) -> Flow[list[NodeRow]]:
    if node_pool and not dialect.node_pool_label:
        raise NotResolved(
            f"node_pool {node_pool!r}: clusters of dialect {dialect.name} have no node pools; "
            "leave it out"
        )
    found = yield from node_gpus.nodes()
    if not node_pool or not dialect.node_pool_label:
        return found
    chosen = node_gpus.in_pool(found, dialect.node_pool_label, node_pool)
    if not chosen:
        names = node_gpus.pools(found, dialect.node_pool_label)
        raise NotResolved(
            f"node_pool {node_pool!r}: the cluster has no such node pool; it has: "
            f"{cut(', '.join(names[:_MAX_NAMES])) or 'none'}"
        )
    return chosen


def _names(nodes: Sequence[NodeRow] | None) -> frozenset[str] | None:
    return None if nodes is None else frozenset(node.metadata.name for node in nodes)

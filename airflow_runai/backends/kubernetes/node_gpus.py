"""The GPUs of a cluster's nodes: how many there are, how many nobody holds, and where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_runai.backends.kubernetes.paths import PODS, ResourceKind
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.objects import word

if TYPE_CHECKING:
    from airflow_runai.backends.kubernetes.gpu_rows import NodeRow

NODES = ResourceKind("", "v1", "nodes")
_BOUND = [("fieldSelector", "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed")]


def nodes() -> Flow[list[NodeRow]]:
    """Return all nodes."""
    # Imported here: it is not needed to parse a DAG.
    from airflow_runai.backends.kubernetes.gpu_rows import read_nodes

    return (yield from read_nodes(NODES.collection(None)))


def in_pool(found: Sequence[NodeRow], label: str, pool: str) -> list[NodeRow]:
    """Return the nodes of one node pool."""
    return [node for node in found if word(node.metadata.labels, label) == pool]


def pools(found: Sequence[NodeRow], label: str) -> list[str]:
    """Return the names of the node pools, in order."""
    return sorted({word(node.metadata.labels, label) for node in found} - {""})


def total(found: Sequence[NodeRow]) -> float:
    """Add up the GPUs of nodes, also of those that are away: they come back."""
    return sum(node.gpus for node in found)


def largest(found: Sequence[NodeRow]) -> float | None:
    """Return the GPUs of the largest node; ``None`` where there are no nodes."""
    return max((node.gpus for node in found), default=None)


def free(found: Sequence[NodeRow]) -> Flow[float]:
    """Add up the GPUs of nodes that no pod holds; of those only that take pods now."""
    from airflow_runai.backends.kubernetes.gpu_rows import read_pods

    held: defaultdict[str, float] = defaultdict(float)
    for pod in (yield from read_pods(PODS.collection(None), _BOUND)):
        if pod.node:
            held[pod.node] += pod.gpus
    return sum(max(0.0, one.gpus - held[one.metadata.name]) for one in found if one.takes_pods)

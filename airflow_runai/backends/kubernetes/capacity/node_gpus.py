"""The GPUs of a cluster's nodes: how many there are, how many nobody holds, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_runai.backends.kubernetes.api.paths import NODES, PODS
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.objects import word

if TYPE_CHECKING:
    from airflow_runai.backends.kubernetes.capacity.gpu_rows import NodeRow

_BOUND = [("fieldSelector", "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed")]


def nodes() -> Flow[list[NodeRow]]:
    """Return all nodes."""
    # Imported here: it is not needed to parse a DAG.
    from airflow_runai.backends.kubernetes.capacity.gpu_rows import read_nodes

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


def free(found: Sequence[NodeRow], held: float | None = None) -> Flow[float]:
    """
    Add up the GPUs of nodes that nobody holds; of those only that take pods now.

    :param held: by everybody; where that is not known, the pods of all namespaces are read.
    """
    usable = [one for one in found if one.takes_pods]
    if held is not None:
        return max(0.0, total(usable) - held)
    by_node = yield from _held_by_node()
    return sum(max(0.0, one.gpus - by_node.get(one.metadata.name, 0.0)) for one in usable)


def _held_by_node() -> Flow[dict[str, float]]:
    # Imported here: it is not needed to parse a DAG.
    from airflow_runai.backends.kubernetes.capacity.gpu_rows import read_pods

    held: dict[str, float] = {}
    for pod in (yield from read_pods(PODS.collection(None), _BOUND)):
        if pod.node:
            held[pod.node] = held.get(pod.node, 0.0) + pod.gpus
    return held

"""
Whether a training can ever start, asked before anybody waits for it.

Its queue is read each time, because one that allows no CPU, or is not there, lets nothing through;
the nodes only for more than one GPU. Nothing depends on the answer.
"""

from __future__ import annotations

from dataclasses import replace

from airflow_runai.backends.kubernetes.capacity import node_gpus
from airflow_runai.backends.kubernetes.capacity.queues import bounds_of
from airflow_runai.backends.kubernetes.capacity.room import if_told
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.core.flow import Flow
from airflow_runai.core.project import Project
from airflow_runai.core.prospects import hopeless, is_worth_asking
from airflow_runai.core.quota import gpu_count, gpus_requested
from airflow_runai.core.reasons import Reason
from airflow_runai.core.room import NO_BOUNDS
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import NotResolved, RunaiError


def prospects(
    cluster: KnownCluster, project: Project, spec: WorkloadSpec
) -> Flow[tuple[Reason, ...]]:
    """Say why it can never start; nothing if it can, or if that cannot be asked."""
    gpus = gpus_requested(spec) or 0.0
    try:
        bounds = yield from if_told(bounds_of(cluster, project))
        is_large = is_worth_asking(spec, gpus)
        nodes = (yield from if_told(node_gpus.nodes())) if is_large else None
    except NotResolved as error:
        return hopeless(
            spec, 0.0, NO_BOUNDS, None, {"QueueDoesNotExist": str(error).partition(";")[0]}
        )
    except RunaiError:
        return ()
    barred = bounds.without_cpu if bounds else ""
    each = gpus_requested(replace(spec, distributed=None, parallelism=None)) or 0.0
    others = {
        "QueueWithoutCpu": f"queue {barred} allows no CPU" if barred else "",
        "MoreGpusThanNode": over_node(each, node_gpus.largest(nodes) if nodes else None),
    }
    total = node_gpus.total(nodes) if nodes else None
    return hopeless(spec, gpus, bounds.quota if bounds else NO_BOUNDS, total, others)


def over_node(gpus: float, largest: float | None) -> str:
    """Say that no node has so many GPUs; an empty text if one has."""
    is_over = largest is not None and gpus > largest
    return (
        f"each pod asks for {gpu_count(gpus)}; the largest node has {largest:g}" if is_over else ""
    )

"""GPUs: how many a specification asks for, and how many a project may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.spec import WorkloadSpec

#: No one has more GPUs; and a float cannot hold every number that JSON can.
_BOUND = 1e9


@dataclass(frozen=True)
class Quota:
    """
    GPUs of a project, in one node pool or in all of them together.

    :param deserved: guaranteed; beyond it only preemptible workloads run.
    :param limit: never exceeded; ``None``: no limit.
    """

    deserved: float | None
    limit: float | None

    @classmethod
    def from_wire(cls, project: JsonMapping, node_pool: str | None = None) -> Quota:
        """Read a project as the control plane describes it; missing values are ``None``."""
        pools = _pools(project)
        shares = [gpu for name, gpu in pools if node_pool in (None, name)]
        gpus = [share for share in shares if isinstance(share, Mapping)]
        return cls(_sum(gpus, "deserved"), _sum(gpus, "limit"))


@dataclass(frozen=True)
class ProjectLimits:
    """
    What bounds the trainings of a project.

    :param quota: its GPUs, in all node pools together.
    :param time_limits: by name, after how long the platform itself ends a training; ``None`` if
        that is not known.
    """

    quota: Quota
    time_limits: JsonMapping | None = None


def node_pools(project: JsonMapping) -> list[str]:
    """Return the names of the node pools in which a project has a quota."""
    return [name for name, _ in _pools(project)]


def _pools(project: JsonMapping) -> list[tuple[str, Any]]:
    """Return the name of each node pool, with what the project may have of its GPUs."""
    listed = project.get("resources")
    pools = (
        [pool for pool in listed if isinstance(pool, Mapping)] if isinstance(listed, list) else []
    )
    return [(_name(pool.get("nodePool")), pool.get("gpu")) for pool in pools]


def _name(pool: object) -> str:
    return str(pool.get("name")) if isinstance(pool, Mapping) else ""


def _sum(pools: list[JsonMapping], key: str) -> float | None:
    """Add up all pools; ``None`` if one has -1 or no value, which means no limit."""
    values = [_number(pool.get(key)) for pool in pools]
    limits = [value for value in values if value is not None and value >= 0]
    return sum(limits) if limits and len(limits) == len(values) else None


def gpus_requested(spec: WorkloadSpec) -> float | None:
    """
    Return the GPUs of all pods together.

    Workers do not count the master, which asks for the same unless it has a specification of its
    own.

    :return: ``None`` if GPU memory is asked for: what share that is depends on the node.
    """
    body = spec.to_wire()
    each = _of_pod(body["spec"])
    if each is None:
        return None
    if spec.distributed is None:
        return each * (spec.parallelism or 1)
    master = _of_pod(body.get("masterSpec") or body["spec"])
    return None if master is None else each * (spec.distributed.workers or 1) + master


def gpus_guaranteed(spec: WorkloadSpec) -> float | None:
    """
    Return the GPUs that must fit into the quota, and are not taken away again.

    All of what is not preemptible, none of what is; of what is semi-preemptible those of the pods
    that it needs at least.

    :return: ``None`` if GPU memory is asked for.
    """
    if spec.preemptibility in (None, "preemptible"):
        return 0.0
    elastic = spec.distributed
    least = elastic.min_replicas if elastic else None
    if spec.preemptibility == "semi-preemptible" and elastic and least:
        fewest = replace(elastic, workers=min(least, elastic.workers or 1))
        return gpus_requested(replace(spec, distributed=fewest))
    return gpus_requested(spec)


def gpus_of_item(item: JsonMapping) -> float | None:
    """Return the GPUs that a workload asks for, as a list shows it; ``None`` if it does not."""
    return gpus_in(item.get("workloadRequestedResources"))


def gpus_in(resources: object) -> float | None:
    """Return the GPUs in ``workloadRequestedResources``; ``None`` if it names no number."""
    gpu = resources.get("gpu") if isinstance(resources, Mapping) else None
    return _number(gpu.get("request")) if isinstance(gpu, Mapping) else None


def over_cluster(gpus: float, total: float | None) -> str:
    """Say that a cluster is too small for a request; an empty text if it is not."""
    return _too_many(gpus, total, "the cluster has")


def over_limit(gpus: float, quota: Quota) -> str:
    """Say that a project may never have so many GPUs; an empty text if it may."""
    return _too_many(gpus, quota.limit, "the project's limit is")


def over_quota(gpus: float, quota: Quota) -> str:
    """Say that a request exceeds all that is guaranteed to a project; else an empty text."""
    return _too_many(gpus, quota.deserved, "the project's quota is")


def _too_many(gpus: float, bound: float | None, what: str) -> str:
    is_over = bound is not None and gpus > bound
    return f"asks for {gpu_count(gpus)}; {what} {bound:g}" if is_over else ""


def gpu_count(count: float) -> str:
    """Return a number of GPUs with its unit."""
    return f"{count:g} GPU{'' if count == 1 else 's'}"


def _of_pod(spec: JsonMapping) -> float | None:
    compute = spec.get("compute") or {}
    if compute.get("gpuMemoryRequest") is not None:
        return None
    devices = _number(compute.get("gpuDevicesRequest")) or 0.0
    portion = _number(compute.get("gpuPortionRequest"))
    # The portion is of each device.
    return devices if portion is None else devices * portion


def _number(value: Any) -> float | None:
    is_number = (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _BOUND
    )
    return float(value) if is_number else None

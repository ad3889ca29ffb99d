"""GPUs: how many a specification asks for, and how many a project may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.spec import WorkloadSpec

#: Beyond it nothing counts GPUs; and a float cannot hold every number that JSON can.
_BOUND = 1e9


@dataclass(frozen=True)
class Quota:
    """
    GPUs of a project, all of its node pools together.

    :param deserved: guaranteed; beyond it only preemptible workloads run.
    :param limit: never exceeded; ``None``: no limit.
    """

    deserved: float | None
    limit: float | None

    @classmethod
    def from_wire(cls, project: Mapping[str, Any]) -> Quota:
        """Read a project as the control plane describes it; what it does not tell is ``None``."""
        listed = project.get("resources")
        pools = (
            [pool.get("gpu") for pool in listed if isinstance(pool, Mapping)]
            if isinstance(listed, list)
            else []
        )
        found = [gpu for gpu in pools if isinstance(gpu, Mapping)]
        return cls(_sum(found, "deserved"), _sum(found, "limit"))


def _sum(pools: list[Mapping[str, Any]], key: str) -> float | None:
    """Add up what all pools say; -1 and silence mean that nothing limits."""
    told = [_number(pool.get(key)) for pool in pools]
    known = [value for value in told if value is not None and value >= 0]
    return sum(known) if known and len(known) == len(told) else None


def gpus_requested(spec: WorkloadSpec) -> float | None:
    """
    Return the GPUs of all pods together; ``None`` if memory is asked for, whose share depends on the node.

    Workers do not count the master, which asks for the same unless it has a specification of its
    own.
    """
    body = spec.to_wire()
    each = _of_pod(body["spec"])
    if spec.distributed is None:
        return None if each is None else each * (spec.parallelism or 1)
    master = _of_pod(body.get("masterSpec") or body["spec"])
    return (
        None if each is None or master is None else each * (spec.distributed.workers or 1) + master
    )


def _of_pod(spec: Mapping[str, Any]) -> float | None:
    compute = spec.get("compute") or {}
    if compute.get("gpuMemoryRequest") is not None:
        return None
    portion = _number(compute.get("gpuPortionRequest"))
    return (_number(compute.get("gpuDevicesRequest")) or 0.0) * (
        1.0 if portion is None else portion
    )


def _number(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _BOUND
    return float(value) if known else None

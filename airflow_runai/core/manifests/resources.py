"""The ``compute`` part of a specification: resources of the container, and shares of a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from airflow_runai.core.amounts import amount, cores, mebibytes, spelled
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.kubernetes.gpus import GPU
from airflow_runai.core.manifests.sparse import sparse
from airflow_runai.core.pod_spec import Compute


def resources(compute: Compute) -> JsonObject:
    """Return the container's ``resources``; what is extended needs a limit only."""
    devices = whole_gpus(compute)
    limits = {
        **({GPU: str(devices)} if devices else {}),
        **_cpu_and_memory(compute.cpu_cores_limit, compute.cpu_memory_limit),
        **{name: spelled(text) for name, text in (compute.extended_resources or {}).items()},
    }
    return sparse(
        requests=_cpu_and_memory(compute.cpu_cores, compute.cpu_memory),
        limits=limits,
    )


def _cpu_and_memory(number: float | None, memory: str | None) -> dict[str, str]:
    return sparse(cpu=cores(number) if number else None, memory=spelled(memory) if memory else None)


def whole_gpus(compute: Compute) -> int:
    """Return how many GPUs one pod has for itself; the whole share of one counts as one."""
    if compute.gpu_memory is not None:
        return 0
    if compute.gpu_portion is not None:
        return int(compute.gpu_portion)
    return compute.gpu_devices or 0


def share_annotations(compute: Compute) -> dict[str, str]:
    """Return the annotations of a pod that asks for a part of a GPU."""
    if compute.gpu_memory is not None:
        return {"gpu-memory": str(mebibytes(compute.gpu_memory))}
    if compute.gpu_portion is not None and compute.gpu_portion < 1:
        return {"gpu-fraction": f"{Decimal(str(compute.gpu_portion)):f}"}
    return {}


def gpus_in_words(compute: Compute) -> str:
    """Return the number of GPUs that the container is told; empty for a share by memory."""
    if compute.gpu_memory is not None:
        return ""
    return f"{compute.gpu_portion or compute.gpu_devices or 0:g}"


def compute_problems(compute: Compute) -> Iterator[str]:
    """Yield what Kubernetes would refuse of resources."""
    extended = compute.extended_resources or {}
    if GPU in extended:
        yield f".extended_resources.{GPU}: {extended[GPU]!r}; allowed: in gpu_devices"
    for name, quantity in extended.items():
        number = amount(spelled(quantity))
        if number is None or number % 1:
            yield f".extended_resources.{name}: {quantity!r}; allowed: a whole number"
        if "/" not in name:
            yield (
                f".extended_resources.{name}: no name of a device; allowed: with its maker's "
                "domain, such as nvidia.com/mig-1g.5gb"
            )
    if compute.gpu_memory is not None and not mebibytes(compute.gpu_memory):
        yield f".gpu_memory: {compute.gpu_memory!r}; allowed: more than nothing"
    cores_asked, cores_limit = (
        None if number is None else cores(number)
        for number in (compute.cpu_cores, compute.cpu_cores_limit)
    )
    yield from _excess("cpu_cores", cores_asked, cores_limit)
    yield from _excess("cpu_memory", compute.cpu_memory, compute.cpu_memory_limit)


def _excess(name: str, asked: str | None, limit: str | None) -> Iterator[str]:
    if asked is None or limit is None:
        return
    if (amount(spelled(asked)) or 0) > (amount(spelled(limit)) or 0):
        yield f".{name}: {asked}; allowed: at most {name}_limit, which is {limit}"

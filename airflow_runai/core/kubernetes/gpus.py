"""How many GPUs pods and objects with pods ask for, and nodes and queues have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_runai.core.amounts import amount
from airflow_runai.core.kubernetes.objects import at, count, number, rows

GPU = "nvidia.com/gpu"
#: Annotations by which a pod asks for parts of GPUs, as KAI and Run:ai read them.
_FRACTION, _DEVICES, _MEMORY = "gpu-fraction", "gpu-fraction-num-devices", "gpu-memory"
#: Characters of the longest quantity that is read.
_LONGEST = 32


def quantity(value: object) -> float:
    """Return what a quantity amounts to; 0 for what is none."""
    text = str(value) if isinstance(value, (str, int)) else ""
    return float(amount(text) or 0) if len(text) <= _LONGEST else 0.0


def gpus_in(quantities: object) -> float:
    """Return the GPUs in a list of resources."""
    return quantity(at(quantities, GPU))


def gpus_of_pod(pod: object) -> float:
    """
    Return the GPUs that a pod, or a template of pods, asks for.

    Which part of a GPU a request for GPU memory is, depends on the node: it counts as one.
    """
    annotations = at(pod, "metadata", "annotations")
    if at(annotations, _FRACTION) is not None:
        devices = quantity(at(annotations, _DEVICES)) or 1.0
        return quantity(at(annotations, _FRACTION)) * devices
    if at(annotations, _MEMORY) is not None:
        return 1.0
    together = sum(map(_of_container, rows(pod, "spec", "containers")))
    return max([together, *map(_of_container, rows(pod, "spec", "initContainers"))])


def gpus_of_job(job: object) -> float:
    """Return the GPUs that the pods of a Job ask for, as many as it still needs at a time."""
    wanted, completions = number(job, "spec", "parallelism"), number(job, "spec", "completions")
    pods = 1 if wanted is None else wanted
    if completions is not None:
        pods = min(pods, completions - count(job, "status", "succeeded"))
    return max(0, pods) * gpus_of_pod(at(job, "spec", "template"))


def gpus_of_set(jobset: object) -> float:
    """Return the GPUs of all pods of a JobSet."""
    return sum(map(_of_members, rows(jobset, "spec", "replicatedJobs")))


def gpus_by_flavor(usage: Iterable[Mapping[str, Any]], key: str) -> list[float]:
    """Return the GPUs that each flavor of Kueue's tells under a key; none where it has no GPUs."""
    named = (one for flavor in usage for one in rows(flavor, "resources"))
    return [quantity(one[key]) for one in named if one.get("name") == GPU and key in one]


def _of_container(container: Mapping[str, Any]) -> float:
    # What is extended may be asked for by its limit alone.
    resources = container.get("resources")
    return max(gpus_in(at(resources, part)) for part in ("limits", "requests"))


def _of_members(member: Mapping[str, Any]) -> float:
    replicas = number(member, "replicas")
    return gpus_of_job(member.get("template")) * (1 if replicas is None else max(0, replicas))

"""Whether a workload can ever start: what its request says beside the bounds of its project."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow_runai.core.quota import Quota, gpus_guaranteed, over_cluster, over_limit, over_quota
from airflow_runai.core.reasons import Clue, Evidence, Reason, reasons
from airflow_runai.core.spec import WorkloadSpec


def is_worth_asking(spec: WorkloadSpec, gpus: float) -> bool:
    """Whether bounds are worth a request: hardly for one GPU, which every cluster has."""
    return gpus > 1 or (gpus > 0 and gpus_guaranteed(spec) != 0)


def hopeless(
    spec: WorkloadSpec,
    gpus: float,
    quota: Quota,
    total: float | None,
    others: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Reason, ...]:
    """
    Say why it can never start; nothing if it can, or if that is not known.

    :param total: GPUs of the cluster; ``None`` if unknown.
    :param others: further bounds that it exceeds, by the words of their causes.
    """
    guaranteed = gpus_guaranteed(spec)
    beyond_quota = over_quota(gpus if guaranteed is None else guaranteed, quota)
    figures = {
        **others,
        "MoreGpusThanCluster": over_cluster(gpus, total),
        "MoreGpusThanLimit": over_limit(gpus, quota),
        "MoreGpusThanQuota": beyond_quota,
    }
    clues = tuple(Clue(word, said) for word, said in figures.items() if said)
    return reasons(Evidence("Pending", clues))

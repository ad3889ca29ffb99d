"""Known causes why a workload waits for resources, in the order in which they are told."""

from __future__ import annotations

from airflow_runai.core.reasons.cause import Cause

WAITING_CAUSES: tuple[Cause, ...] = (
    Cause(
        "more-than-cluster",
        "gpus",
        r"MoreGpusThanCluster: (?P<figures>.+)",
        "it can never start: {figures}",
        "ask for fewer GPUs",
        ends_waiting=True,
    ),
    Cause(
        "more-than-limit",
        "gpus",
        r"MoreGpusThanLimit: (?P<figures>.+)",
        "it can never start: {figures}",
        "ask for fewer GPUs, or have the limit raised",
        ends_waiting=True,
    ),
    Cause(
        "more-than-quota",
        "gpus",
        r"MoreGpusThanQuota: (?P<figures>.+)",
        "non-preemptible, so it can never start: {figures}",
        "make it preemptible, ask for fewer GPUs, or have the quota raised",
        ends_waiting=True,
    ),
    Cause(
        "over-quota",
        "gpus",
        r"NonPreemptibleOverQuota",
        "non-preemptible, and over the project's quota: {said}",
        "make it preemptible, ask for fewer GPUs, or have the quota raised",
        ends_waiting=True,
    ),
    Cause(
        "over-limit",
        "gpus",
        r"OverLimit",
        "over the limit of its project: {said}",
        "ask for fewer GPUs, or wait until the project's other workloads have ended",
        ends_waiting=True,
    ),
    Cause(
        "wrong-nodes",
        "gpus",
        # Kubernetes' own taints keep everyone away from its control plane and from lost nodes.
        r"didn't match .*(?:affinity|selector)|"
        r"untolerated taint(?! \{node(?:-role)?\.kubernetes\.io/)",
        "no node that it may use can take it: {said}",
        "check `node_type`, `node_pools` and `tolerations` in the specification",
        ends_waiting=True,
    ),
    Cause(
        "no-free-gpus",
        "gpus",
        r"(?:not )?enough (?:free )?(?:GPU|resources:? GPU)|insufficient \S*gpu|"
        r"GPUs? that are being released",
        "not enough GPUs are free: {said}",
        "wait, or ask for fewer",
        ends_waiting=True,
    ),
    Cause(
        "no-free-memory",
        "gpus",
        r"(?:insufficient|enough resources:?) (?:cpu|memory)",
        "no node has enough CPU cores and main memory free: {said}",
        "wait, or ask for less with `compute.cpu_cores` and `compute.cpu_memory`",
        ends_waiting=True,
    ),
    Cause(
        "no-place",
        "gpus",
        r"not enough (?:free )?resources|Unschedulable|FailedScheduling",
        "no node can take it now: {said}",
        "wait, or ask for less",
        ends_waiting=True,
    ),
    Cause(
        "resuming",
        "resuming",
        r"^StillResuming",
        "it was resumed, and there are no pods of it yet",
        "wait; if it stays so, Run:ai before 2.26 and some versions of Kubernetes leave it there "
        "for ever: delete it and clear the task, which goes on from its checkpoints; "
        "`starting` in `timeouts` ends such a wait",
        ends_waiting=True,
    ),
)

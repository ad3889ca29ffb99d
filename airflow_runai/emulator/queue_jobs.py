"""Workloads as jobs of the scheduler."""

from __future__ import annotations

from airflow_runai.emulator import phases
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.scheduler import Job


def wants_gpus(workload: EmulatedWorkload) -> bool:
    """Whether a workload waits in its queue, or has pods."""
    pending = workload.phase == phases.PENDING and workload.desired == "Running"
    return bool(workload.live_pods) or (pending and not workload.not_before)


def scheduler_job(workload: EmulatedWorkload, queue: str) -> Job:
    """Describe a workload to the scheduler."""
    return Job(
        id=workload.id,
        name=workload.name,
        project=queue,
        pods=workload.gpu_demand,
        priority=workload.priority,
        preemptible=workload.preemptible,
        submitted=workload.created_at,
        placed=tuple(pod.slot for pod in workload.live_pods),
        leaving=workload.departure is not None,
        avoid=frozenset(workload.last_nodes),
        claims=workload.claims and workload.desired == "Running",
    )

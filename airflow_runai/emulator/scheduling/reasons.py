"""What users read about a decision: why a workload waits, why it was stopped."""

from __future__ import annotations

from airflow_runai.emulator.scheduling.entitlement import exceeds_firm_quota, exceeds_limit
from airflow_runai.emulator.scheduling.jobs import Action, Job, Wait
from airflow_runai.emulator.scheduling.order import QueueShares
from airflow_runai.emulator.scheduling.state import ClusterState

OVER_QUOTA = "NonPreemptibleOverQuota"
OVER_LIMIT = "OverLimit"


def why_stopped(victim: Job, job: Job, action: Action) -> str:
    """Tell a victim what it had to go for."""
    if action == "reclaim":
        return f"Preempted: GPUs reclaimed by project {job.project}"
    if action == "preempt":
        return f"Preempted by higher priority workload {job.name or job.id}"
    return f"Preempted: moved to make room for workload {job.name or job.id}"


def why_waiting(shares: QueueShares, state: ClusterState, job: Job, claims: bool) -> Wait:
    """
    Tell a job why it waits.

    :param claims: whether it keeps what is being released for it.
    """
    if job.id in state.held:
        return Wait(job.id, "", "Waiting for GPUs that are being released", claims)
    if exceeds_firm_quota(shares, state, job):
        return Wait(job.id, OVER_QUOTA, _over_quota(shares, state, job))
    if exceeds_limit(shares, state, job):
        return Wait(job.id, OVER_LIMIT, _over_limit(shares, state, job))
    return Wait(job.id, "", f"Not enough free GPUs for {job.gpus:g} in the node pool default")


def _over_quota(shares: QueueShares, state: ClusterState, job: Job) -> str:
    return (
        f"Non-preemptible workload over quota: project {job.project} has a quota of "
        f"{shares[job.project].deserved:g} GPUs, {state.firm(job.project):g} of it in use by non-preemptible "
        f"workloads, {job.gpus:g} asked for"
    )


def _over_limit(shares: QueueShares, state: ClusterState, job: Job) -> str:
    return (
        f"Workload over limit: project {job.project} may use {shares[job.project].ceiling:g} GPUs at most, "
        f"{state.used(job.project):g} of them in use, {job.gpus:g} asked for"
    )

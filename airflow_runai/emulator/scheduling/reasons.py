"""What users read about a decision: why a workload waits, why it was stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_runai.emulator.scheduling.entitlement import (
    is_non_preemptible_over_quota,
    is_over_limit,
)
from airflow_runai.emulator.scheduling.jobs import Action, Job, JobKind, StayQueued
from airflow_runai.emulator.scheduling.state import ClusterState

OVER_QUOTA = "NonPreemptibleOverQuota"
OVER_LIMIT = "OverLimit"


def why_stopped(job: Job, action: Action) -> str:
    """Say for which job a victim was stopped."""
    if action == "reclaim":
        return f"Preempted: GPUs reclaimed by project {job.project}"
    if action == "preempt":
        return f"Preempted by higher priority workload {job.name or job.id}"
    return f"Preempted: moved to make room for workload {job.name or job.id}"


def why_waiting(state: ClusterState, jobs: Iterable[Job], claims: bool) -> Iterator[StayQueued]:
    """
    Say why each job waits.

    :param claims: whether a job keeps the GPUs that are being released for it.
    """
    known: dict[JobKind, tuple[str, str]] = {}
    for job in jobs:
        # It has its place already; only the pods there have to end.
        if job.id in state.held:
            yield StayQueued(job.id, "", "Waiting for GPUs that are being released", claims)
            continue
        # Jobs of a kind wait for the same reason; a crowd of them is told it once.
        if job.kind not in known:
            known[job.kind] = _why_refused(state, job)
        yield StayQueued(job.id, *known[job.kind])


def _why_refused(state: ClusterState, job: Job) -> tuple[str, str]:
    # The quota first: it is what a user can ask for more of.
    if is_non_preemptible_over_quota(state, job):
        return OVER_QUOTA, _over_quota(state, job)
    if is_over_limit(state, job):
        return OVER_LIMIT, _over_limit(state, job)
    return "", f"Not enough free GPUs for {job.gpus:g} in the node pool default"


def _over_quota(state: ClusterState, job: Job) -> str:
    quota = state.share_of(job).deserved
    used = state.used_by_non_preemptible(job.project)
    return (
        f"Non-preemptible workload over quota: project {job.project} has a quota of {quota:g} "
        f"GPUs, {used:g} of it in use by non-preemptible workloads, {job.gpus:g} asked for"
    )


def _over_limit(state: ClusterState, job: Job) -> str:
    limit = state.share_of(job).ceiling
    used = state.used(job.project)
    return (
        f"Workload over limit: project {job.project} may use {limit:g} GPUs at most, "
        f"{used:g} of them in use, {job.gpus:g} asked for"
    )

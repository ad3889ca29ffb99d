"""What quota, limit and fair share let a job have, and let it take from others."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.emulator.scheduling.jobs import Job, exact
from airflow_runai.emulator.scheduling.order import QueueShares
from airflow_runai.emulator.scheduling.state import ClusterState


def exceeds_limit(shares: QueueShares, state: ClusterState, job: Job) -> bool:
    """Whether a job would bring its queue over its limit."""
    return job.gpus > 0 and exact(state.used(job.project) + job.gpus) > shares[job.project].ceiling


def exceeds_firm_quota(shares: QueueShares, state: ClusterState, job: Job) -> bool:
    """Whether a non-preemptible job would borrow: what cannot be taken back is never lent."""
    if job.preemptible or job.gpus == 0:
        return False
    return exact(state.firm(job.project) + job.gpus) > shares[job.project].deserved


def may_hold(shares: QueueShares, state: ClusterState, job: Job) -> bool:
    """
    Whether a job may have a place where there is one.

    Idle GPUs go to anybody, whatever the fair share.
    """
    return not (exceeds_limit(shares, state, job) or exceeds_firm_quota(shares, state, job))


def may_reclaim(shares: QueueShares, state: ClusterState, job: Job) -> bool:
    """Whether a job stays within what its queue may demand back from others."""
    within = exact(state.used(job.project) + job.gpus) <= shares[job.project].fair
    return within and not exceeds_firm_quota(shares, state, job)


def may_lose(shares: QueueShares, state: ClusterState, job: Job, victims: Sequence[Job]) -> bool:
    """
    Whether other queues may lose these jobs to one that reclaims.

    Each queue must have more than its share before each of its victims goes; for a job within its
    queue's quota, more than its quota. So the last victim may be larger than the excess.
    """
    within_quota = exact(state.used(job.project) + job.gpus) <= shares[job.project].deserved
    left = {victim.project: state.used(victim.project) for victim in victims}
    for victim in victims:
        queue, has = shares[victim.project], left[victim.project]
        if has <= queue.share and not (within_quota and has > queue.deserved):
            return False
        left[victim.project] = exact(has - victim.gpus)
    return True

"""What quota, limit and fair share let a job have, and let it take from other queues."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.emulator.scheduling.jobs import Job, exact
from airflow_runai.emulator.scheduling.state import ClusterState


def is_over_limit(state: ClusterState, job: Job) -> bool:
    """Whether the job would take its queue over its limit."""
    return job.gpus > 0 and state.used_with(job) > state.share_of(job).ceiling


def is_non_preemptible_over_quota(state: ClusterState, job: Job) -> bool:
    """Whether a non-preemptible job would borrow: GPUs that cannot be taken back are never lent."""
    # A job without GPUs borrows nothing.
    if job.preemptible or job.gpus == 0:
        return False
    used = exact(state.used_by_non_preemptible(job.project) + job.gpus)
    return used > state.share_of(job).deserved


def may_run(state: ClusterState, job: Job) -> bool:
    """
    Whether a job may have a place where there is one.

    Idle GPUs go to any queue, whatever its fair share.
    """
    return not is_over_limit(state, job) and not is_non_preemptible_over_quota(state, job)


def may_reclaim(state: ClusterState, job: Job) -> bool:
    """Whether the job stays within what its queue may demand back from other queues."""
    within_share = state.used_with(job) <= state.share_of(job).fair
    return within_share and not is_non_preemptible_over_quota(state, job)


def may_lose(state: ClusterState, job: Job, victims: Sequence[Job]) -> bool:
    """
    Whether other queues may lose these victims to a job that reclaims.

    Each queue must have more than its share before each of its victims goes; for a job within its
    queue's quota, more than its quota. So the last victim may be larger than the excess.
    """
    # Within its quota a queue may take more from others than over it.
    within_quota = state.used_with(job) <= state.share_of(job).deserved
    used = {victim.project: state.used(victim.project) for victim in victims}
    for victim in victims:
        share = state.share_of(victim)
        protected = min(share.entitled, share.deserved) if within_quota else share.entitled
        if used[victim.project] <= protected:
            return False
        # The next victim of this queue is judged without this one.
        used[victim.project] = exact(used[victim.project] - victim.gpus)
    return True

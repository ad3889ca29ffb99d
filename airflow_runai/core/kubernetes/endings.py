"""
How a pod ended, and through whom.

The first that fits: it ended by itself; the platform names who took it; the Job controller let go
of it first, and something explains why; somebody else took it. An end by itself needs proof. What
nobody can explain is *removed*: not a preemption, and never charged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.facts import NEVER
from airflow_runai.core.kubernetes.job_facts import JobFacts
from airflow_runai.core.kubernetes.pod_facts import PodFacts
from airflow_runai.core.kubernetes.queue_facts import QueueEviction

SUCCEEDED = "succeeded"
FAILED = "failed"
PREEMPTED = "preempted"
INFRASTRUCTURE = "infrastructure"
SUSPENDED = "suspended"
DEADLINE = "deadline"
REMOVED = "removed"
#: Ways to end; of two accounts of one end, the earlier in this order knows more.
ENDS = (PREEMPTED, INFRASTRUCTURE, DEADLINE, SUSPENDED, FAILED, SUCCEEDED, REMOVED)

KUEUE = "kueue"
KUBE_SCHEDULER = "kube-scheduler"
#: By the kube-scheduler, under whatever name it runs.
_TO_ACCOMMODATE = "preempting to accommodate a higher priority pod"
_BY_SCHEDULER = "PreemptionByScheduler"
_PAST_DEADLINE = "DeadlineExceeded"
_LOST_CONTAINER = "ContainerStatusUnknown"
#: Reasons of Kueue's that a person caused.
_STOPPED = ("Deactivated", "LocalQueueStopped", "ClusterQueueStopped")
#: Seconds. Servers tell whole ones.
_ROUNDING = 1.0


class PodEnding(NamedTuple):
    """
    How a pod ended.

    :param ended: one of :data:`ENDS`.
    :param by: who or what did it; empty if it ended by itself, or if that is not known.
    :param words: the platform's words for it.
    """

    ended: str
    by: str = ""
    words: str = ""


def ending(pod: PodFacts, case: Case) -> PodEnding | None:
    """Return how a pod ended or is being ended; ``None`` while it lives."""
    if ended_by_itself(pod, case):
        return _own(pod)
    if pod.end is None and not pod.is_taken and not pod.presence.is_gone:
        return None
    explained = _named(pod, case) or next(_by_controller(pod, case), None)
    return explained or PodEnding(REMOVED)


def ended_by_itself(pod: PodFacts, case: Case) -> bool:
    """Whether it is proven that a pod had ended before anybody took it away."""
    if pod.end is None:
        return False
    if pod.by_itself:
        return True
    job = case.jobs.get(pod.job_uid)
    if pod.exit_code != 0 or pod.released or job is None or job.success is None:
        return False
    # Of a pod that was first seen when both had happened, only times tell.
    return 0 < job.success.at < pod.began < NEVER


def _own(pod: PodFacts) -> PodEnding:
    end = pod.end
    assert end is not None
    if pod.status_reason == _PAST_DEADLINE:
        return PodEnding(DEADLINE, pod.status_reason, end.message)
    if pod.status_reason or end.reason == _LOST_CONTAINER:
        # The node refused, evicted or lost it; what fails by itself has no such reason.
        return PodEnding(INFRASTRUCTURE, pod.status_reason or end.reason, end.message)
    succeeded = end.code == 0 if not end.unread else pod.now and pod.now.phase == "Succeeded"
    return PodEnding(SUCCEEDED if succeeded else FAILED, "", end.message)


def _named(pod: PodFacts, case: Case) -> PodEnding | None:
    """Return who took it, if the platform says so: in a condition, an event or its status."""
    said, condition = case.words.get(pod.key), pod.disruption
    # A condition comes before the deletion that it announces; later it is somebody else's.
    if condition is not None and not pod.unnamed:
        words = condition.message
        if condition.reason != _BY_SCHEDULER:
            return PodEnding(INFRASTRUCTURE, condition.reason, words)
        by = said.action if said else _scheduler(pod, words)
        return PodEnding(PREEMPTED, by, words)
    # The kube-scheduler marks whom it takes before the deletion; whom it marks later, others took.
    if said is not None and not (said.action == KUBE_SCHEDULER and pod.unnamed):
        return PodEnding(PREEMPTED, said.action, said.message)
    if pod.status_reason and pod.status_reason != _PAST_DEADLINE:
        return PodEnding(INFRASTRUCTURE, pod.status_reason)
    return None


def _scheduler(pod: PodFacts, words: str) -> str:
    is_standard = words.endswith(_TO_ACCOMMODATE) or pod.scheduler == "default-scheduler"
    return KUBE_SCHEDULER if is_standard else ""


def _by_controller(pod: PodFacts, case: Case) -> Iterator[PodEnding]:
    """Yield why the Job controller may have taken it, the best explanation first."""
    owners = case.owners(pod)
    # To suspend, the controller first lets go and then deletes.
    if not pod.held:
        yield from (_of_queue(one) for one in case.evictions if _falls_into(one, pod, case))
        if any(_was_paused(job, pod) for job in owners) or _was_resumed(owners, pod):
            yield PodEnding(SUSPENDED)
    for job in owners:
        if job.failure and job.failure.reason == _PAST_DEADLINE and _is_past(job, pod):
            yield PodEnding(DEADLINE, "", job.failure.message)


def _of_queue(eviction: QueueEviction) -> PodEnding:
    reason, words = eviction.reason, eviction.message
    if "MaximumExecutionTime" in reason:
        return PodEnding(DEADLINE, KUEUE, words)
    if reason.startswith(_STOPPED):
        return PodEnding(SUSPENDED, KUEUE, words)
    if reason == "NodeFailures":
        return PodEnding(INFRASTRUCTURE, KUEUE, words)
    return PodEnding(PREEMPTED, KUEUE, words)


def _falls_into(eviction: QueueEviction, pod: PodFacts, case: Case) -> bool:
    """Whether an eviction by Kueue came in a pod's life."""
    if eviction.is_over:
        # It took the last pods before it; which ones these are, is seen by those that came after.
        successors = (one for one in case.pods if pod.until <= one.first)
        is_last = all(one.made >= eviction.at for one in successors)
        return is_last and _had_gone_by(eviction.at, pod)
    is_new = eviction.at > pod.made
    if eviction.at == pod.made:
        # Evicted, a training makes no pods; of one that only its history knows, that is all.
        is_new = pod.first == NEVER or eviction.version > pod.first
    return is_new and (eviction.version < pod.until or eviction.at <= pod.until_at)


def _was_paused(job: JobFacts, pod: PodFacts) -> bool:
    """Whether a Job was suspended in a pod's life, before the pod was taken."""
    if any(pod.first < paused < pod.until for paused in job.pauses):
        return True
    return any(pod.made < when <= pod.until_at + _ROUNDING for when in job.paused_at)


def _was_resumed(owners: Sequence[JobFacts], pod: PodFacts) -> bool:
    """Whether only its resumption tells that a Job was suspended in a pod's life."""
    # A set says that it is resumed after its Jobs have made their pods.
    teller = next((job for job in owners if job.resumed_at), None)
    return teller is not None and any(_had_gone_by(when, pod) for when in teller.resumed_at)


def _had_gone_by(when: float, pod: PodFacts) -> bool:
    """Whether a pod that lived before a training was resumed is not known to have lived on."""
    if pod.began < NEVER:
        return pod.made < when and pod.began <= when
    return pod.made < when <= pod.until_at + _ROUNDING


def _is_past(job: JobFacts, pod: PodFacts) -> bool:
    # Whom somebody took long before was only let go of then.
    return pod.began >= job.deadline - (_ROUNDING if pod.released else 0)

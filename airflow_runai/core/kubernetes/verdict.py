"""
How a training ended, what its failures cost, and whether all that this depends on was looked at.

Kubernetes counts exit code 0 as success even when somebody took the pod away half way. So a
training that the platform calls complete has succeeded only if its pods ended by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from airflow_runai.core.completion import is_complete
from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.endings import (
    FAILED,
    INFRASTRUCTURE,
    KUEUE,
    PREEMPTED,
    REMOVED,
    SUCCEEDED,
    ended_by_itself,
    ending,
)
from airflow_runai.core.kubernetes.incarnations import PodIncarnation, failures
from airflow_runai.core.kubernetes.pod_facts import PodFacts

DELETED = "deleted"
#: Seconds after which an eviction's event is there, if it ever comes.
EVENT_DELAY = 1.0
#: Ways to end that somebody outside of the training causes.
_TAKEN = (PREEMPTED, INFRASTRUCTURE, REMOVED)
_TAKEN_WITH_0 = (
    "its pod was taken away and ended with exit code 0, which Kubernetes counts as success; "
    "the training is not finished: after SIGTERM it should exit with another code"
)
_UNSEEN_END = (
    "Kubernetes counts it as a success, but its pod was gone before anybody saw it end by itself"
)


@dataclass(frozen=True, slots=True)
class TrainingVerdict:
    """
    What has become of a training.

    :param final: ``succeeded``, ``failed`` or ``deleted``; empty while it goes on.
    :param reason: a sentence for people, or the platform's words.
    :param failures: ends that the author's failure budget pays.
    :param events_of: whose events should be asked for first: names of PodGroups; its own uid for
        its pods, where only the kube-scheduler may have taken one.
    :param look: the object itself, or its pods, should be looked at first.
    """

    final: str
    reason: str
    failures: int
    events_of: frozenset[str] = frozenset()
    look: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether all that it depends on was looked at, as far as these rights allow it."""
        return not self.events_of and not self.look


def verdict(
    case: Case, lives: Sequence[PodIncarnation], *, reached_end: bool = False
) -> TrainingVerdict:
    """
    Judge a training.

    :param lives: its incarnations, those of its history included; failures that the history only
        counts come on top.
    :param reached_end: what it saved last proves that it is finished; then exit code 0 is believed
        whoever took its pod.
    """
    training = case.training
    asked_for = frozenset(_events_of(case))
    if training.success:
        doubt = _doubt(case, lives)
        is_done = is_complete(told_to_leave=bool(doubt), reached_end=reached_end)
        final, reason = (SUCCEEDED, training.success.message) if is_done else (FAILED, doubt)
        return TrainingVerdict(final, reason, _charged(case, lives), asked_for, _lags(case))
    if training.failure:
        words = training.failure.message or training.failure.reason
        return TrainingVerdict(FAILED, words, _charged(case, lives), asked_for, _lags(case))
    if training.presence.is_gone:
        look = not training.presence.is_proven
        return TrainingVerdict(DELETED, "was deleted", failures(lives), asked_for, look)
    return TrainingVerdict("", "", failures(lives), asked_for)


def _charged(case: Case, lives: Sequence[PodIncarnation]) -> int:
    """Return the failures; where pods cannot be seen, those for which the platform gave up."""
    gave_up = case.training.failure
    if not lives and "Pod" in case.unreadable and gave_up and case.training.now:
        is_spent = gave_up.reason == "BackoffLimitExceeded"
        return case.training.now.failed if is_spent else 0
    return failures(lives)


def lacks_its_end(case: Case, lives: Sequence[PodIncarnation]) -> bool:
    """Tell whether it is called complete, and nobody saw all of its pods end by themselves."""
    # Asked at each look of each wait, so what goes on has its answer first.
    if case.training.success is None or "Pod" in case.unreadable:
        return False
    last, counted = _last_attempt(case, lives)
    return _succeeded(last) < counted


def _doubt(case: Case, lives: Sequence[PodIncarnation]) -> str:
    """Return why a completion is none; empty if it is one, or if nothing speaks against it."""
    last, counted = _last_attempt(case, lives)
    if counted and _succeeded(last) >= counted:
        return ""
    # What the Job controller itself takes away is not counted.
    taken = [one for one in last if one.ended in _TAKEN and one.by != KUEUE]
    if any(one.exit_code == 0 for one in taken):
        return _TAKEN_WITH_0
    return _UNSEEN_END if counted and (taken or _is_unseen_named(case)) else ""


def _last_attempt(case: Case, lives: Sequence[PodIncarnation]) -> tuple[list[PodIncarnation], int]:
    """Return the incarnations of the last attempt, and how many the platform counts as done."""
    newest = max([case.attempt, *(one.attempt for one in lives)])
    last = [one for one in lives if one.attempt == newest]
    jobs = [one for one in case.jobs.values() if one.success and one.attempt in (-1, newest)]
    return last, sum(max(1, job.now.succeeded if job.now else 0) for job in jobs)


def _succeeded(lives: Sequence[PodIncarnation]) -> int:
    return sum(one.ended == SUCCEEDED for one in lives)


def _is_unseen_named(case: Case) -> bool:
    """Whether an event names a pod that no list or watch has shown."""
    return not case.words.keys() <= {pod.key for pod in case.pods}


def _lags(case: Case) -> bool:
    """Whether pods of a training that has ended are not known up to its end."""
    ended = case.training.success or case.training.failure
    if "Pod" in case.unreadable or ended is None:
        return False
    are_known = bool(case.pods) and all(map(_is_known, case.pods))
    return case.pods_through < ended.version and not are_known


def _is_known(pod: PodFacts) -> bool:
    return pod.end is not None or pod.presence.is_gone


def _events_of(case: Case) -> Iterator[str]:
    """Yield whose events may name who took a pod that nobody has named yet."""
    for pod in case.pods:
        if not _may_be_named(pod) or pod.released or "Event" in case.unreadable:
            continue
        how, about = ending(pod, case), pod.group or case.training.uid
        was_asked = case.asked.get(about, 0.0) >= pod.presence.seen_at + EVENT_DELAY
        if how is not None and not how.by and not was_asked and not ended_by_itself(pod, case):
            yield about


def _may_be_named(pod: PodFacts) -> bool:
    """Whether only an event may say who took a pod."""
    has_vanished = pod.presence.is_gone and not pod.is_taken
    # KAI's says so in any case; the kube-scheduler marks a pod before it takes it.
    return has_vanished or (bool(pod.group) and (pod.held or pod.presence.is_gone))

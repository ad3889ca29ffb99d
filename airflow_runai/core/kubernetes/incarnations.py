"""The incarnations of a training: one for each pod, with how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.endings import (
    ENDS,
    FAILED,
    KUEUE,
    PREEMPTED,
    REMOVED,
    SUSPENDED,
    ending,
)
from airflow_runai.core.kubernetes.facts import NEVER
from airflow_runai.core.kubernetes.pod_facts import PodFacts
from airflow_runai.core.kubernetes.presence import Presence
from airflow_runai.core.kubernetes.successors import place_of, remembered

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class PodIncarnation:
    """
    The life of one pod. Times are epoch seconds of the server, ``None`` where they are not known.

    :param made: when the pod was created.
    :param start: when the training began to run.
    :param end: when it ended, or else when it began to be taken away.
    :param exit_code: of the training; ``None`` if no container ever ended, or nobody saw it.
    :param reason: the container's or node's word for it, such as ``OOMKilled``.
    :param ended: one of :data:`~airflow_runai.core.kubernetes.endings.ENDS`; empty while it lives.
    :param by: who or what ended it, where the platform says so.
    :param words: the platform's words for it.
    :param attempt: of its JobSet, -1 outside of one.
    """

    uid: str
    name: str = ""
    node: str = ""
    made: float = 0.0
    start: float | None = None
    end: float | None = None
    exit_code: int | None = None
    reason: str = ""
    ended: str = ""
    by: str = ""
    words: str = ""
    attempt: int = -1

    @property
    def place(self) -> str:
        """What its name has in common with those that come before and after it."""
        return place_of(self.name)

    @property
    def is_counted(self) -> bool:
        """Whether the Job controller waits longer after it before it makes the next pod."""
        is_pause = self.ended == SUSPENDED or self.by == KUEUE
        return bool(self.ended) and not is_pause and self.exit_code != 0


def incarnations(case: Case, known: Iterable[PodIncarnation] = ()) -> tuple[PodIncarnation, ...]:
    """
    Return all incarnations of a training, in the order in which their pods were made.

    :param known: what the history annotation keeps.
    """
    kept = list(known)
    pods = [*case.pods, *(_vanished(one, case) for one in kept if _has_vanished(one, case))]
    return _complete(united((_incarnation(pod, case) for pod in pods), kept))


def united(*accounts: Iterable[PodIncarnation]) -> tuple[PodIncarnation, ...]:
    """Unite several accounts of the same training, in any order."""
    by_uid: dict[str, PodIncarnation] = {}
    for one in (one for account in accounts for one in account):
        by_uid[one.uid] = _united(by_uid[one.uid], one) if one.uid in by_uid else one
    return tuple(sorted(by_uid.values(), key=lambda one: (one.made, one.name, one.uid)))


def failures(lives: Iterable[PodIncarnation]) -> int:
    """Return how many failures the author's budget pays: those of one attempt of a set are one."""
    failed = [one for one in lives if one.ended == FAILED]
    attempts = {one.attempt for one in failed if one.attempt >= 0}
    return len(attempts) + sum(one.attempt < 0 for one in failed)


def _incarnation(pod: PodFacts, case: Case) -> PodIncarnation:
    how = ending(pod, case)
    end = pod.end
    ended_at = next((when for when in _ends(pod, case) if 0 < when < NEVER), None)
    return PodIncarnation(
        uid=pod.uid,
        name=pod.name,
        node=pod.node,
        made=pod.made,
        start=pod.started if pod.started < NEVER else None,
        end=ended_at if how else None,
        exit_code=pod.exit_code,
        reason=(end.reason if end else "") or pod.status_reason,
        ended=how.ended if how else "",
        by=how.by if how else "",
        words=how.words if how else "",
        attempt=pod.attempt,
    )


def _ends(pod: PodFacts, case: Case) -> Iterator[float]:
    """Yield when it ended, what is known best first; of a pod that vanished, the latest."""
    yield pod.end.at if pod.end else 0.0
    yield pod.disruption.at if pod.disruption else 0.0
    yield pod.began
    yield case.words[pod.key].at if pod.key in case.words else 0.0
    gone_at = pod.presence.left_at or NEVER
    paused = (when for job in case.owners(pod) for when in job.paused_at)
    yield max((when for when in paused if pod.made < when <= gone_at), default=0.0)
    # It ended before the next one was made, whenever it was missed.
    if all(other.made <= pod.made for other in case.pods):
        yield gone_at


def _has_vanished(one: PodIncarnation, case: Case) -> bool:
    """Whether no list shows it any more, and it lived on, or only now it is said who took it."""
    is_named = f"{case.training.namespace}/{one.name}" in case.words
    is_open = not one.ended or (one.ended == REMOVED and is_named)
    return is_open and case.pods_through > 0 and all(pod.uid != one.uid for pod in case.pods)


def _vanished(one: PodIncarnation, case: Case) -> PodFacts:
    pod = PodFacts(
        uid=one.uid,
        name=one.name,
        namespace=case.training.namespace,
        job_uid=case.training.uid,
        attempt=one.attempt,
        node=one.node,
        made=one.made,
        started=NEVER if one.start is None else one.start,
        presence=Presence(left=case.pods_through),
    )
    return remembered(pod, case.pods, case.training)


def _united(one: PodIncarnation, other: PodIncarnation) -> PodIncarnation:
    how = min(one, other, key=_ending_order)
    return PodIncarnation(
        uid=one.uid,
        name=max(one.name, other.name),
        node=max(one.node, other.node),
        made=max(one.made, other.made),
        start=_known(min, one.start, other.start),
        end=_known(min, one.end, other.end),
        exit_code=_known(max, one.exit_code, other.exit_code),
        reason=max(one.reason, other.reason),
        ended=how.ended,
        by=how.by,
        words=how.words,
        attempt=max(one.attempt, other.attempt),
    )


def _known(choose: Callable[..., _Number], *values: _Number | None) -> _Number | None:
    return choose((value for value in values if value is not None), default=None)


def _ending_order(one: PodIncarnation) -> tuple[int, bool, str, bool, str]:
    """Order two accounts of one end: the one that knows more comes first."""
    place = ENDS.index(one.ended) if one.ended in ENDS else len(ENDS)
    return place, not one.by, one.by, not one.words, one.words


def _complete(lives: Sequence[PodIncarnation]) -> tuple[PodIncarnation, ...]:
    """Say of members that were evicted together who did it, where only some of them know."""
    named = [one for one in lives if one.ended == PREEMPTED and one.by and one.attempt >= 0]
    return tuple(
        replace(one, by=_evictor(one, named)) if one.ended == PREEMPTED and not one.by else one
        for one in lives
    )


def _evictor(one: PodIncarnation, named: Iterable[PodIncarnation]) -> str:
    # A set whose member is evicted begins its next attempt: there is one eviction in each.
    return min((other.by for other in named if other.attempt == one.attempt), default="")

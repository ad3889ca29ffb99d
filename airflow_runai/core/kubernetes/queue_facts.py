"""What Kueue says of a training in its Workload, and schedulers in their events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from airflow_runai.core.kubernetes.facts import Word, later, newest_of
from airflow_runai.core.kubernetes.objects import (
    at,
    conditions,
    controller,
    holds,
    moment,
    rows,
    sentence,
    version,
    word,
)

#: By which a Workload says whose it is.
JOB_UID = "kueue.x-k8s.io/job-uid"
#: How Kueue repeats the words of an eviction that is over.
_PREVIOUSLY = "Previously: "
#: Characters of an event in which the pod's name is searched.
_SEARCHED = 1024
_NAMED_POD = re.compile(r"[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*[a-z0-9]")


class QueueEviction(NamedTuple):
    """
    One eviction by Kueue.

    :param at: when it began; when it was over, if ``is_over``.
    :param is_over: only what was left of it after the next admission was seen.
    """

    at: float
    version: int
    reason: str
    message: str
    is_over: bool


def _first_of_each(
    one: tuple[QueueEviction, ...], other: tuple[QueueEviction, ...]
) -> tuple[QueueEviction, ...]:
    """Return the evictions of both, each as it was first seen."""
    first: dict[tuple[float, bool, str], QueueEviction] = {}
    for eviction in (*one, *other):
        key = eviction.at, eviction.is_over, eviction.reason
        first[key] = min(eviction, first.get(key, eviction))
    return newest_of((), tuple(first.values()))


class QueueNow(NamedTuple):
    """The newest state of a Workload: whether it may run, and why it does not yet."""

    version: int
    is_active: bool
    message: str


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What the Workload of one Job or JobSet says."""

    owner: Word
    now: Annotated[QueueNow | None, later] = None
    evictions: Annotated[tuple[QueueEviction, ...], _first_of_each] = ()

    @property
    def news(self) -> tuple[object, ...]:
        """What a wait wants to know: Kueue writes much else into a Workload."""
        return self.now[1:] if self.now else (), self.evictions


def read_workload(workload: Mapping[str, Any]) -> QueueFacts:
    """Return what one sighting of a Workload says."""
    reserved = conditions(workload).get("QuotaReserved")
    waits = "" if holds(reserved) else sentence(reserved, "message")
    now = QueueNow(version(workload), at(workload, "spec", "active") is not False, waits)
    return QueueFacts(owner_of(workload), now, tuple(_evictions(workload)))


def owner_of(workload: Mapping[str, Any]) -> str:
    """Return the uid of the Job or JobSet that a Workload queues."""
    label = word(workload, "metadata", "labels", JOB_UID)
    return label or controller(workload, "JobSet") or controller(workload, "Job")


def _evictions(workload: Mapping[str, Any]) -> Iterator[QueueEviction]:
    evicted = conditions(workload).get("Evicted")
    when, words = moment(evicted, "lastTransitionTime"), sentence(evicted, "message")
    if not when:
        return
    if at(evicted, "status") == "True":
        yield QueueEviction(when, version(workload), word(evicted, "reason"), words, False)
    elif words.startswith(_PREVIOUSLY):
        said = words.removeprefix(_PREVIOUSLY)
        reason = _reason(workload, said)
        yield QueueEviction(when, version(workload), reason, said, True)


def _reason(workload: Mapping[str, Any], said: str) -> str:
    """Return the reason of an eviction of which only the words are left."""
    if said.startswith("Preempted"):
        return "Preempted"
    counted = rows(workload, "status", "schedulingStats", "evictions")
    reasons = {word(one, "reason") for one in counted}
    return reasons.pop() if len(reasons) == 1 else ""


class EvictionWord(NamedTuple):
    """
    What an event says of one pod that a scheduler takes away.

    :param action: KAI's action, such as ``reclaim``; empty where the event does not say it.
    :param group: name of the PodGroup that the event is about, which ends with the training's uid.
    """

    action: str
    message: str
    at: float
    group: str = ""


def read_event(event: Mapping[str, Any]) -> dict[str, EvictionWord]:
    """
    Return the pods that an event says are evicted, as ``namespace/name``; empty for other events.

    KAI's is about a PodGroup, which a gang keeps over all its attempts: only the message tells
    whose eviction it is. That of the kube-scheduler is about the pod.
    """
    # The two APIs for events have different names for the same.
    reason, about = word(event, "reason"), at(event, "involvedObject") or at(event, "regarding")
    text = at(event, "message") or at(event, "note")
    message, when = sentence({"text": text}, "text"), _when(event)
    if reason == "Evict" and word(about, "kind") == "PodGroup":
        action = word(event, "metadata", "annotations", "evictor-action-type")
        # The evictor is named, too, but behind it, and as a PodGroup.
        victim = _NAMED_POD.search(str(text)[:_SEARCHED])
        said = EvictionWord(action, message, when, word(about, "name"))
        return {victim.group(): said} if victim else {}
    if reason == "Preempted" and word(about, "kind") == "Pod":
        pod = f"{word(about, 'namespace')}/{word(about, 'name')}"
        return {pod: EvictionWord("kube-scheduler", message, when)}
    return {}


def _when(event: Mapping[str, Any]) -> float:
    times = (moment(event, key) for key in ("eventTime", "firstTimestamp", "lastTimestamp"))
    return next((when for when in times if when), 0.0)

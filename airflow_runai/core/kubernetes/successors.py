"""
When a pod that nobody saw leaving was gone at the latest: when the next one in its place was made.

Whatever is read later lacks such a pod, too, so lists alone say less and less about its end. What
happens to its successor would then be taken for what has ended it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airflow_runai.core.kubernetes.facts import NEVER
from airflow_runai.core.kubernetes.job_facts import JobFacts
from airflow_runai.core.kubernetes.pod_facts import PodFacts


def in_order(pods: Iterable[PodFacts], training: JobFacts) -> list[PodFacts]:
    """Return pods in the order in which they were made, each with what its successor says."""
    later: dict[str, PodFacts] = {}
    found: list[PodFacts] = []
    for pod in sorted(pods, key=lambda pod: (pod.made, pod.name, pod.uid), reverse=True):
        found.append(_before(pod, later.get(_place(pod, training))))
        later[_place(pod, training)] = pod
    return found[::-1]


def remembered(pod: PodFacts, pods: Iterable[PodFacts], training: JobFacts) -> PodFacts:
    """
    Return a pod that only its history knows, with what its successor says.

    :param pods: those that were seen, in the order in which they were made.
    """
    place = _place(pod, training)
    later = (one for one in pods if one.made > pod.made and _place(one, training) == place)
    return _before(pod, next(later, None))


def _before(pod: PodFacts, successor: PodFacts | None) -> PodFacts:
    presence = pod.presence
    if successor is None or not presence.is_gone or successor.first <= presence.seen:
        return pod
    known = replace(
        presence,
        left=int(min(presence.left or NEVER, successor.first)),
        left_at=min(presence.left_at or NEVER, successor.made),
    )
    return replace(pod, presence=known) if known.is_gone else pod


def place_of(name: str) -> str:
    """Return a pod's name without what is drawn for each."""
    return name.rpartition("-")[0]


def _place(pod: PodFacts, training: JobFacts) -> str:
    """Return the place of a pod; its own name where several live in one."""
    place = place_of(pod.name)
    are_many = training.now is not None and training.now.parallelism > 1
    return pod.name if are_many and place == training.name else place

"""All that is known about one training, joined: every answer about it comes from this alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from airflow_runai.core.kubernetes.job_facts import JobFacts
from airflow_runai.core.kubernetes.pod_facts import PodFacts
from airflow_runai.core.kubernetes.queue_facts import EvictionWord, QueueEviction, QueueFacts


@dataclass(frozen=True)
class Case:
    """
    One training: a Job, or a JobSet with its Jobs.

    :param training: the object that was submitted.
    :param jobs: the Jobs that make its pods, by uid: itself, or those of the set.
    :param pods: all pods that were seen, in the order in which they were made.
    :param queue: what its Workload says, if Kueue has one for it.
    :param words: what events say of its pods, by :attr:`PodFacts.key`; also of unseen ones.
    :param asked: PodGroups, and its own uid for its pods: when events about them were last asked
        for, epoch seconds.
    :param unreadable: kinds that these rights do not show.
    :param pods_through: version up to which its pods are known.
    """

    training: JobFacts
    jobs: Mapping[str, JobFacts]
    pods: Sequence[PodFacts]
    queue: QueueFacts | None = None
    words: Mapping[str, EvictionWord] = field(default_factory=dict)
    asked: Mapping[str, float] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    pods_through: int = 0

    @property
    def evictions(self) -> list[QueueEviction]:
        """The evictions by Kueue, oldest first."""
        return sorted(self.queue.evictions) if self.queue else []

    @property
    def is_set(self) -> bool:
        """Whether it is a JobSet: it begins anew as a whole."""
        return self.training.kind == "JobSet"

    @property
    def has_ended(self) -> bool:
        """Whether the platform has said that it is over; that is never taken back."""
        return bool(self.training.success or self.training.failure)

    @cached_property
    def attempt(self) -> int:
        """The newest attempt of a set; -1 for a Job."""
        attempts = [pod.attempt for pod in self.pods]
        return max([*attempts, *(job.attempt for job in self.jobs.values())], default=-1)

    def owners(self, pod: PodFacts) -> list[JobFacts]:
        """Return the Job and the set that decide about a pod, as far as they are known."""
        job = self.jobs.get(pod.job_uid)
        others = [self.training] if job is not self.training else []
        return [*([job] if job else []), *others]

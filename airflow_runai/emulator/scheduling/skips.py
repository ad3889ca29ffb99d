"""Jobs that need not be tried, because one like them has just failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from airflow_runai.emulator.scheduling.jobs import Job, JobKind


class OpenKinds:
    """
    The kinds of jobs that are worth a try while GPUs are only given away, and how many are left.

    A leaving job only reserves, so it counts apart from waiting ones like it.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._left = Counter((job.kind, job.leaving) for job in jobs)

    def __bool__(self) -> bool:
        return bool(self._left)

    def has(self, job: Job) -> bool:
        """Whether this job may still find a place."""
        return (job.kind, job.leaving) in self._left

    def count(self, job: Job, placed: bool) -> None:
        """Take note that a job was tried; the others of its kind cannot do better than it."""
        key: tuple[JobKind, bool] = (job.kind, job.leaving)
        self._left[key] -= 1
        # Pods of different sizes may fit after another choice of nodes, so each is tried.
        hopeless = job.kind.is_uniform and not placed
        if hopeless or self._left[key] == 0:
            del self._left[key]


class Failures:
    """
    The smallest job that failed, for each queue and number of pods.

    :param everywhere: a failure in one queue counts for all queues.
    """

    def __init__(self, everywhere: bool = False) -> None:
        self._everywhere = everywhere
        self._smallest: dict[tuple[str, int], list[float]] = {}

    def is_hopeless(self, job: Job) -> bool:
        """Whether no pod of this job is smaller than those of a job that failed."""
        failed = self._smallest.get(self._key(job))
        return failed is not None and _fits_in(failed, sorted(job.pods))

    def add(self, job: Job) -> None:
        """Remember a failure."""
        key = self._key(job)
        # Sorted, since their order says nothing about their size.
        pods = sorted(job.pods)
        if _fits_in(pods, self._smallest.get(key, pods)):
            self._smallest[key] = pods

    def _key(self, job: Job) -> tuple[str, int]:
        # Pods are compared one by one, so only jobs with equally many can be.
        return ("" if self._everywhere else job.project, len(job.pods))


def _fits_in(pods: Sequence[float], others: Sequence[float]) -> bool:
    return all(pod <= other for pod, other in zip(pods, others, strict=True))

"""Jobs that need not be tried, because one like them has just failed."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.emulator.scheduling.jobs import Job


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
        key, pods = self._key(job), sorted(job.pods)
        if _fits_in(pods, self._smallest.get(key, pods)):
            self._smallest[key] = pods

    def _key(self, job: Job) -> tuple[str, int]:
        return ("" if self._everywhere else job.project, len(job.pods))


def _fits_in(pods: Sequence[float], others: Sequence[float]) -> bool:
    return all(pod <= other for pod, other in zip(pods, others, strict=True))

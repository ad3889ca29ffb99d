"""Which jobs need not be tried because one like them has just failed."""

from __future__ import annotations

from airflow_runai.emulator.scheduling.jobs import Job


class Failures:
    """
    The easiest job that failed, for each queue and number of pods.

    :param everywhere: what failed for one queue is taken to fail for all.
    """

    def __init__(self, everywhere: bool = False) -> None:
        self._everywhere = everywhere
        self._easiest: dict[tuple[str, int], list[float]] = {}

    def is_hopeless(self, job: Job) -> bool:
        """Whether no pod of this job is smaller than those of one that failed."""
        failed = self._easiest.get(self._key(job))
        return failed is not None and all(
            mine >= its for mine, its in zip(sorted(job.pods), failed, strict=True)
        )

    def add(self, job: Job) -> None:
        """Remember a failure."""
        mine = sorted(job.pods)
        failed = self._easiest.get(self._key(job), mine)
        if all(pod <= its for pod, its in zip(mine, failed, strict=True)):
            self._easiest[self._key(job)] = mine

    def _key(self, job: Job) -> tuple[str, int]:
        return ("" if self._everywhere else job.project, len(job.pods))

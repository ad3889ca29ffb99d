"""
Which jobs need not be tried because one like them has just failed.

KAI compares pods only. Whether the other failed for a reason that does not hold here (its class, its quota) does not
matter to it, so that it now and then leaves a job waiting which it could help; it tries again when the other is gone.
"""

from __future__ import annotations

from airflow_runai.emulator.scheduling.jobs import Job


class Failures:
    """The easiest job that failed, for each number of pods."""

    def __init__(self) -> None:
        self._easiest: dict[int, list[float]] = {}

    def is_hopeless(self, job: Job) -> bool:
        """Whether no pod of this job is smaller than those of one that failed."""
        failed = self._easiest.get(len(job.pods))
        return failed is not None and all(mine >= its for mine, its in zip(sorted(job.pods), failed, strict=True))

    def add(self, job: Job) -> None:
        """Remember a failure."""
        mine = sorted(job.pods)
        failed = self._easiest.get(len(mine), mine)
        if all(pod <= its for pod, its in zip(mine, failed, strict=True)):
            self._easiest[len(mine)] = mine

"""The jobs that may have to give way to others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property

from airflow_runai.emulator.scheduling.jobs import Job


class StoppableJobs:
    """
    The preemptible jobs that run.

    A job that got its place in this cycle is not among them: it would have started in vain.

    :param jobs: all jobs that run.
    """

    def __init__(self, jobs: Collection[Job]) -> None:
        self._running = jobs

    @cached_property
    def all(self) -> list[Job]:
        """All of them."""
        # To stop a job without GPUs would free nothing.
        return [job for job in self._running if job.preemptible and job.gpus > 0]

    def without(self, gone: Iterable[Job]) -> StoppableJobs:
        """Leave out jobs that have been stopped."""
        ids = {job.id for job in gone}
        return StoppableJobs([job for job in self._running if job.id not in ids])

    def of_other_queues(self, job: Job) -> list[Job]:
        """List those that do not belong to the job's queue."""
        return [one for one in self.all if one.project != job.project]

    def lesser(self, job: Job) -> list[Job]:
        """List those of the job's queue that have a lower priority."""
        return [
            one for one in self.all if one.project == job.project and one.priority < job.priority
        ]

    def has_lesser(self, job: Job) -> bool:
        """Whether there is a job of lower priority in its queue."""
        # Where all priorities are equal, as they often are, the least of all decides.
        if job.priority <= self._least:
            return False
        return self._lowest.get(job.project, job.priority) < job.priority

    @cached_property
    def _least(self) -> int:
        return min([job.priority for job in self._running], default=0)

    @cached_property
    def _lowest(self) -> dict[str, int]:
        """The lowest priority in each queue."""
        # Asked for each kind of waiting job in each cycle, so it is found once for all of them.
        lowest: dict[str, int] = {}
        for one in self.all:
            if one.priority < lowest.setdefault(one.project, one.priority):
                lowest[one.project] = one.priority
        return lowest

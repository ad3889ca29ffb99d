"""
All jobs of one cluster, counted as they change.

A cycle needs sums over all jobs. With thousands of jobs most stay as they are from one cycle to the
next, so the sums are kept instead of computed anew. They depend only on the jobs that are here now,
never on the way there: they are sums of whole numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from airflow_runai.emulator.placement import Places, Room
from airflow_runai.emulator.scheduling.jobs import Job

_GRAINS_PER_GPU = 10_000


class Census:
    """
    The jobs that hold or want GPUs.

    :param nodes: GPUs per node.
    :param jobs: the first jobs.
    :ivar jobs: all of them, by id.
    :ivar waiting: those without a place.
    :ivar running: those that have their place and keep it.
    :ivar leaving: those whose pods are being stopped.
    :ivar held: the slots of the running ones.
    :ivar room: what they all leave free.
    """

    def __init__(self, nodes: Mapping[str, int], jobs: Iterable[Job] = ()) -> None:
        self.nodes = nodes
        self.jobs: dict[str, Job] = {}
        self.waiting: dict[str, Job] = {}
        self.running: dict[str, Job] = {}
        self.leaving: dict[str, Job] = {}
        self.held: dict[str, Places] = {}
        self.room = Room.of(nodes)
        self._used = Counter[str]()
        self._non_preemptible = Counter[str]()
        self._requested = Counter[str]()
        self._jobs_in = Counter[str]()
        for job in jobs:
            self.put(job)

    def put(self, job: Job) -> None:
        """Take in a job, new or changed."""
        before = self.jobs.get(job.id)
        # What a job counted for before must go, wherever it was.
        if before is not None:
            self._remove(before)
        self.jobs[job.id] = job
        self._jobs_in[job.project] += 1
        self._count(job, +1)
        # A job may have come to another group: it has been taken out of its old one.
        self._group(job)[job.id] = job
        if job.runs:
            self.held[job.id] = job.placed

    def drop(self, job_id: str) -> None:
        """Forget a job, if it is known."""
        job = self.jobs.pop(job_id, None)
        if job is not None:
            self._remove(job)

    @property
    def used(self) -> dict[str, float]:
        """GPUs of each queue's running jobs."""
        return _in_gpus(self._used)

    @property
    def non_preemptible(self) -> dict[str, float]:
        """The part of them that cannot be taken back."""
        return _in_gpus(self._non_preemptible)

    @property
    def requested(self) -> dict[str, float]:
        """GPUs that each queue's jobs want; all queues that have jobs are in it."""
        return _in_gpus(self._requested)

    def _remove(self, job: Job) -> None:
        self._count(job, -1)
        del self._group(job)[job.id]
        self.held.pop(job.id, None)
        self._jobs_in[job.project] -= 1
        # A queue that nobody has configured exists only while it has jobs.
        if not self._jobs_in[job.project]:
            for counter in (self._jobs_in, self._requested, self._used, self._non_preemptible):
                counter.pop(job.project, None)

    def _count(self, job: Job, sign: int) -> None:
        # Pods that are being stopped hold their GPUs now, but not soon.
        self.room.change(
            job.placed,
            now=-sign,
            soon=0 if job.leaving else -sign,
        )
        # Whole numbers: what is added and taken away leaves nothing behind.
        grains = sign * round(job.gpus * _GRAINS_PER_GPU)
        self._requested[job.project] += 0 if job.leaving else grains
        if job.runs:
            self._used[job.project] += grains
        if job.runs and not job.preemptible:
            self._non_preemptible[job.project] += grains

    def _group(self, job: Job) -> dict[str, Job]:
        if job.leaving:
            return self.leaving
        return self.running if job.placed else self.waiting


def _in_gpus(grains: Mapping[str, int]) -> dict[str, float]:
    return {queue: count / _GRAINS_PER_GPU for queue, count in grains.items()}

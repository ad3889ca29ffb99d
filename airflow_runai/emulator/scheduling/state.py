"""A picture of who has what, which decisions change, and copies of which serve to try decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from airflow_runai.emulator.placement import Room, Slot
from airflow_runai.emulator.scheduling.jobs import Job, exact


class ClusterState:
    """
    Who has what, now or soon.

    :ivar room: what is free.
    :ivar held: the slots of each job, by its id, that stays or will start when others are gone.
    """

    def __init__(self, room: Room, jobs: Iterable[Job] = ()) -> None:
        self.room = room
        self.held: dict[str, tuple[Slot, ...]] = {}
        self._used = defaultdict[str, float](float)
        self._firm = defaultdict[str, float](float)
        for job in jobs:
            room.take(job.placed)
            if job.leaving:
                room.expect(job.placed)
            elif job.placed:
                self.enter(job, job.placed)

    def copy(self) -> ClusterState:
        """Give an equal picture to try things on."""
        twin = ClusterState(self.room.copy())
        twin.held, twin._used, twin._firm = self.held.copy(), self._used.copy(), self._firm.copy()
        return twin

    def used(self, queue: str) -> float:
        """GPUs that a queue uses: those of the jobs that stay."""
        return exact(self._used[queue])

    def firm(self, queue: str) -> float:
        """The part of it that is used by non-preemptible jobs."""
        return exact(self._firm[queue])

    def enter(self, job: Job, slots: tuple[Slot, ...]) -> None:
        """Take note that a job has a place; the room knows already."""
        self.held[job.id] = slots
        self._count(job, job.gpus)

    def leave(self, job: Job) -> None:
        """Take note that a job gives back its place."""
        self.room.expect(self.held.pop(job.id))
        self._count(job, -job.gpus)

    def _count(self, job: Job, gpus: float) -> None:
        self._used[job.project] += gpus
        if not job.preemptible:
            self._firm[job.project] += gpus

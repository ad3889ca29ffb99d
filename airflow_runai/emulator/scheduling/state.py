"""Which job holds which GPUs; decisions change it, and copies of it serve to try decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from airflow_runai.emulator.placement import Room, Slot
from airflow_runai.emulator.scheduling.jobs import Job, exact
from airflow_runai.emulator.scheduling.shares import QueueShare, QueueShares


class ClusterState:
    """
    Who has which GPUs, now or soon.

    :ivar room: the free GPUs.
    :ivar shares: the share of each queue.
    :ivar held: by id, the slots of each job that stays, or starts once others have left.
    """

    def __init__(
        self,
        room: Room,
        shares: QueueShares,
        held: Mapping[str, tuple[Slot, ...]],
        used: Mapping[str, float],
        non_preemptible: Mapping[str, float],
    ) -> None:
        self.room = room
        self.shares = shares
        self.held = dict(held)
        self._used = defaultdict[str, float](float, used)
        self._non_preemptible = defaultdict[str, float](float, non_preemptible)

    def copy(self) -> ClusterState:
        """Copy the state to try decisions on."""
        return ClusterState(
            self.room.copy(),
            self.shares,
            self.held,
            self._used,
            self._non_preemptible,
        )

    def share_of(self, job: Job) -> QueueShare:
        """Look up the share of a job's queue."""
        return self.shares[job.project]

    def used(self, queue: str) -> float:
        """GPUs that a queue uses: those of its jobs that stay."""
        # Rounded where it is read: sums of floats never meet a quota exactly.
        return exact(self._used[queue])

    def used_with(self, job: Job) -> float:
        """GPUs that the job's queue would use with it."""
        return exact(self.used(job.project) + job.gpus)

    def used_by_non_preemptible(self, queue: str) -> float:
        """GPUs that the queue's non-preemptible jobs use."""
        return exact(self._non_preemptible[queue])

    def enter(self, job: Job, slots: tuple[Slot, ...]) -> None:
        """Record that a job has a place, which the room has already given."""
        self.held[job.id] = slots
        self._count(job, job.gpus)

    def leave(self, job: Job) -> None:
        """Record that a job gives back its place."""
        self.room.release_soon(self.held.pop(job.id))
        self._count(job, -job.gpus)

    def _count(self, job: Job, gpus: float) -> None:
        self._used[job.project] += gpus
        if not job.preemptible:
            self._non_preemptible[job.project] += gpus

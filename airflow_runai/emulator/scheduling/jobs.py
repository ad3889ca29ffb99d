"""What the scheduler is asked about and what it answers: queues, jobs, decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from airflow_runai.emulator.placement import Slot

Action = Literal["consolidation", "reclaim", "preempt"]


@dataclass(frozen=True)
class Queue:
    """
    A project as the scheduler sees it.

    :param deserved: guaranteed GPUs, the quota.
    :param limit: the most GPUs it may use; None for no limit.
    :param weight: its part of what nobody is guaranteed, relative to the other queues; 0 for none.
    """

    name: str
    deserved: float
    limit: float | None = None
    weight: float = 1.0

    @property
    def ceiling(self) -> float:
        """The limit as a number."""
        return float("inf") if self.limit is None else self.limit


@dataclass(frozen=True)
class Job:
    """
    A workload as the scheduler sees it: what it asks for and what it holds.

    :param project: the name of its queue.
    :param pods: GPUs per pod: whole devices, or a share in (0, 1), or 0. All pods start together.
    :param placed: what it holds now, one slot a pod; empty while it waits.
    :param leaving: its pods are being stopped; it still holds its GPUs.
    :param avoid: nodes it would rather not get. KAI knows nothing of the kind.
    :param claims: an earlier plan said so: a place is kept for it, and it goes before everybody
        else, also while it is still leaving the old one. KAI knows nothing of the kind.
    """

    id: str
    project: str
    pods: tuple[float, ...]
    priority: int = 50
    preemptible: bool = True
    submitted: float = 0.0
    placed: tuple[Slot, ...] = ()
    leaving: bool = False
    avoid: frozenset[str] = frozenset()
    name: str = ""
    claims: bool = False

    @cached_property
    def gpus(self) -> float:
        """All GPUs it asks for."""
        return exact(sum(self.pods))

    def first(self, count: int) -> Job:
        """Give the same job with its first pods only."""
        return replace(self, pods=self.pods[:count])


@dataclass(frozen=True)
class Assign:
    """Start this job on these slots, one a pod."""

    job: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Evict:
    """
    Stop this job and queue it again.

    :param by: the action that decided it.
    :param cause: id of the job that room is made for.
    :param claims: it only moves: there is a place for it elsewhere.
    """

    job: str
    message: str
    by: Action
    cause: str
    claims: bool = False


@dataclass(frozen=True)
class Wait:
    """
    Keep this job in the queue, and say why.

    :param reason: one of the vendor's phase reasons, or empty.
    :param claims: GPUs are being released for it.
    """

    job: str
    reason: str
    message: str
    claims: bool = False


Decision = Assign | Evict | Wait


def exact(gpus: float) -> float:
    """Round to ten-thousandths of a GPU, so that 3 x 0.1 and 0.3 are the same."""
    return round(gpus, 4)

"""The scheduler's input and output: queues, jobs, decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from airflow_runai.emulator.placement import Slot

Action = Literal["consolidation", "reclaim", "preempt"]


@dataclass(frozen=True)
class Queue:
    """
    A project as the scheduler sees it.

    :param deserved: guaranteed GPUs, the quota.
    :param limit: maximum number of GPUs; None for no limit.
    :param weight: its part of the GPUs over all quotas, relative to the other queues; 0 for none.
    """

    name: str
    deserved: float
    limit: float | None = None
    weight: float = 1.0

    @property
    def ceiling(self) -> float:
        """The limit as a number, infinite if there is none."""
        return float("inf") if self.limit is None else self.limit


class JobKind(NamedTuple):
    """What jobs have in common that stand or fall together while nothing changes."""

    project: str
    pods: tuple[float, ...]
    preemptible: bool

    @property
    def is_uniform(self) -> bool:
        """
        Whether all pods are equal.

        Then no choice of nodes makes a difference: such a job fits or not, and as places are given
        away it never fits again. Different pods may fit only after another choice.
        """
        return len(set(self.pods)) <= 1


@dataclass(frozen=True)
class Job:
    """
    A workload as the scheduler sees it: the GPUs it requests and those it holds.

    :param project: the name of its queue.
    :param pods: GPUs per pod: whole devices, or a share in (0, 1), or 0. All pods start together.
    :param placed: the slots it holds now, one a pod; empty while it waits.
    :param leaving: its pods are being stopped; it still holds its GPUs.
    :param avoid: nodes to use only if no other fits. KAI has no such list.
    :param claims: an earlier cycle decided that a place is kept for it, and that it goes before all
        other jobs, also while it is still leaving the old place. KAI has no such claims.
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
        """All GPUs it requests."""
        return exact(sum(self.pods))

    @cached_property
    def kind(self) -> JobKind:
        """All that decides whether it fits and what it may have, but for its priority and age."""
        return JobKind(self.project, self.pods, self.preemptible)

    @property
    def waits(self) -> bool:
        """Whether it waits in the queue."""
        return not self.placed and not self.leaving

    @property
    def runs(self) -> bool:
        """Whether it has its place and keeps it."""
        return bool(self.placed) and not self.leaving

    def first(self, count: int) -> Job:
        """Return the same job with its first pods only."""
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
    :param claims: it only moves: a place elsewhere is kept for it.
    """

    job: str
    message: str
    by: Action
    cause: str
    claims: bool = False


@dataclass(frozen=True)
class StayQueued:
    """
    Leave this job in the queue, and say why.

    :param reason: one of the vendor's phase reasons, or empty.
    :param claims: GPUs are being released for it.
    """

    job: str
    reason: str
    message: str
    claims: bool = False


Decision = Assign | Evict | StayQueued


def exact(gpus: float) -> float:
    """Round to ten-thousandths of a GPU, so that 3 x 0.1 and 0.3 are the same."""
    return round(gpus, 4)

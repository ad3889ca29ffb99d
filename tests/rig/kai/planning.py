"""
The question to the emulator's scheduler, and its answer in terms of groups, pods and nodes.

That scheduler knows GPUs only. So pods that may run on the same nodes are planned together, as in a
node pool of their own: with one set of nodes, the normal case, there is one plan for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_runai.emulator import scheduler
from airflow_runai.emulator.placement import Slot
from tests.rig.kai.snapshot import Group, Pod, Snapshot

__all__ = ["Part", "Places", "Plan", "Victim", "leaves", "make"]


@dataclass(frozen=True)
class Part:
    """Pods of one group that are in the same state; the scheduler's job."""

    group: Group
    pods: tuple[Pod, ...]


@dataclass(frozen=True)
class Victim:
    """Pods that must go."""

    part: Part
    by: str
    cause: Group


Places = tuple[tuple[Pod, str], ...]


@dataclass
class Plan:
    """
    An answer.

    :param places: pods that start now, per group id.
    :param pipelined: pods for which room is being made, with the node where it is.
    """

    places: dict[str, Places] = field(default_factory=dict)
    victims: list[Victim] = field(default_factory=list)
    pipelined: dict[str, Places] = field(default_factory=dict)


def make(snapshot: Snapshot, nodes: frozenset[str], waiting: Sequence[Group]) -> Plan:
    """
    Ask about groups that wait for these nodes.

    :param nodes: all nodes that the waiting pods may run on.
    """
    question = _Question(snapshot, nodes, waiting)
    decisions = scheduler.schedule(question.gpus, question.queues, question.jobs, flaws=True)
    plan = Plan()
    for decision in decisions:
        if isinstance(decision, scheduler.Assign):
            plan.places[question.parts[decision.job].group.id] = question.places(decision)
        elif isinstance(decision, scheduler.Evict):
            cause = question.parts[decision.cause].group
            plan.victims.append(Victim(question.parts[decision.job], decision.by, cause))
    if plan.victims or any(job.leaving for job in question.jobs):
        plan.pipelined = question.once_room_is_made(decisions)
    return plan


class _Question:
    """Jobs as the scheduler wants them, and the way back from them."""

    def __init__(self, snapshot: Snapshot, nodes: frozenset[str], waiting: Sequence[Group]) -> None:
        self.gpus = {
            node.name: int(node.room.gpus) for node in snapshot.nodes if node.name in nodes
        }
        self.queues = leaves(snapshot, sum(self.gpus.values()))
        self.parts: dict[str, Part] = {}
        self.jobs: list[scheduler.Job] = []
        self._devices = dict.fromkeys(self.gpus, 0)
        known = {queue.name for queue in self.queues}
        for group in snapshot.groups:
            if group.queue in known:
                self._add_placed(group)
            else:
                self._lose(group.active)
        self._lose(snapshot.strangers)
        for group in waiting:
            self._add(Part(group, group.waiting), group.id)

    def places(self, decision: scheduler.Assign) -> Places:
        """Give the nodes of a decision, pod by pod."""
        pods = self.parts[decision.job].pods
        return tuple((pod, slot.node) for pod, slot in zip(pods, decision.slots, strict=True))

    def once_room_is_made(self, decisions: Iterable[scheduler.Decision]) -> dict[str, Places]:
        """Ask again as if all that is or will be leaving were gone; tell who of those that cannot start now could."""
        placed = {
            decision.job: decision.slots
            for decision in decisions
            if isinstance(decision, scheduler.Assign)
        }
        evicted = {
            decision.job: decision.by
            for decision in decisions
            if isinstance(decision, scheduler.Evict)
        }
        later = [
            replace(job, placed=placed.get(job.id, job.placed))
            for job in self.jobs
            if _stays(job, evicted)
        ]
        movable = [
            replace(job, placed=()) for job in self.jobs if evicted.get(job.id) == "consolidation"
        ]
        again = scheduler.schedule(self.gpus, self.queues, [*later, *movable], flaws=True)
        return {
            self.parts[decision.job].group.id: self.places(decision)
            for decision in again
            if isinstance(decision, scheduler.Assign)
        }

    def _add_placed(self, group: Group) -> None:
        here = [pod for pod in group.active if pod.node in self.gpus]
        running = tuple(pod for pod in here if not pod.leaving)
        leaving = tuple(pod for pod in here if pod.leaving)
        if running:
            self._add(Part(group, running), f"{group.id}#running", self._slots(running))
        if leaving:
            self._add(
                Part(group, leaving), f"{group.id}#leaving", self._slots(leaving), leaving=True
            )

    def _lose(self, pods: Iterable[Pod]) -> None:
        """Leave out what pods hold that stand in no queue; what is being released counts as such for everybody."""
        for pod in pods:
            if pod.node in self.gpus and pod.leaving:
                self.jobs.append(_leaving(pod, self._slots([pod])))
            elif pod.node in self.gpus:
                self.gpus[pod.node] -= int(pod.asks.gpus)

    def _add(
        self, part: Part, id: str, placed: tuple[Slot, ...] = (), leaving: bool = False
    ) -> None:
        group = part.group
        self.parts[id] = part
        self.jobs.append(
            scheduler.Job(
                id=id,
                project=group.queue,
                pods=tuple(pod.asks.gpus for pod in part.pods),
                priority=group.priority,
                preemptible=group.preemptible,
                submitted=group.created,
                placed=placed,
                leaving=leaving,
                name=group.id,
            )
        )

    def _slots(self, pods: Iterable[Pod]) -> tuple[Slot, ...]:
        """
        Number the devices, as nobody has: the pods of a node take its GPUs one after the other.
        """
        slots = []
        for pod in pods:
            first = self._devices[pod.node]
            self._devices[pod.node] += int(pod.asks.gpus)
            slots.append(Slot(pod.node, tuple(range(first, self._devices[pod.node]))))
        return tuple(slots)


def _leaving(pod: Pod, slots: tuple[Slot, ...]) -> scheduler.Job:
    return scheduler.Job(id=pod.uid, project="", pods=(pod.asks.gpus,), placed=slots, leaving=True)


def _stays(job: scheduler.Job, evicted: Mapping[str, str]) -> bool:
    return not job.leaving and job.id not in evicted


def leaves(snapshot: Snapshot, gpus: float) -> list[scheduler.Queue]:
    """
    Give the queues that have none below them, the oldest first; an unlimited quota is all there is.
    """
    leaves = [queue for queue in snapshot.queues.values() if not snapshot.is_parent(queue.name)]
    return [
        scheduler.Queue(
            name=queue.name,
            deserved=float(gpus) if queue.quota["gpu"] is None else queue.quota["gpu"],
            limit=queue.limit,
            weight=queue.weight,
        )
        for queue in sorted(leaves, key=lambda queue: queue.age)
    ]

"""
Who gets which GPU, who waits and who must go: one pure step over a picture of a cluster.

It knows quotas, borrowing over quota, reclaim, preemption by priority inside a project, shared GPUs, gangs
and nodes. It does not know processes, phases or time. It follows the documented behaviour of Run:ai where
there is one; two things are the emulator's own choice: a preempted workload avoids its last nodes when it
can (so that resuming is really tried), and nobody is moved only to make room (no consolidation).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_runai.emulator.placement import Free, Slot

__all__ = ["Decision", "Evict", "Job", "Place", "Wait", "plan"]

OVER_QUOTA = "NonPreemptibleOverQuota"


@dataclass(frozen=True)
class Job:
    """
    A workload as the scheduler sees it: what it asks for and what it holds.

    :param pods: GPUs per pod: whole devices, or a share in (0, 1), or 0. All pods start together.
    :param placed: what it holds now, one slot a pod; empty while it waits.
    :param leaving: its pods are being stopped; it still holds its GPUs.
    :param avoid: nodes it would rather not get.
    :param claims: an earlier step stopped others for it, or saw GPUs being released for it.
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

    @property
    def gpus(self) -> float:
        """All GPUs it asks for."""
        return sum(self.pods)


@dataclass(frozen=True)
class Place:
    """Start this job on these slots, one a pod."""

    job: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Evict:
    """Stop this job and queue it again."""

    job: str
    message: str


@dataclass(frozen=True)
class Wait:
    """
    Keep this job in the queue, and say why.

    :param reason: one of the vendor's phase reasons, or empty.
    :param claims: GPUs are being released for it: without its claim the next step could give them to somebody who had
        to leave for it, for ever.
    """

    job: str
    reason: str
    message: str
    claims: bool = False


Decision = Place | Evict | Wait


def plan(nodes: Mapping[str, int], quotas: Mapping[str, float], jobs: Iterable[Job]) -> list[Decision]:
    """
    Decide once about every waiting job.

    :param nodes: GPUs per node.
    :param quotas: guaranteed GPUs per project.
    :param jobs: all jobs that hold or want GPUs.
    :return: decisions in the order in which they were taken; applying all of them is safe.
    """
    return _Round(nodes, quotas, list(jobs)).run()


class _Round:
    """The working memory of one step."""

    def __init__(self, nodes: Mapping[str, int], quotas: Mapping[str, float], jobs: list[Job]) -> None:
        self.quotas = quotas
        self.held = {job.id: job for job in jobs if job.placed}
        self.waiting = [job for job in jobs if not job.placed and not job.leaving]
        self.free = Free.of(nodes, [slot for job in self.held.values() for slot in job.placed])
        # What will be free once everyone who has been told to go is gone. Both pictures see every reservation.
        self.soon = self.free.without(slot for job in self.held.values() if job.leaving for slot in job.placed)
        self.leaving = {job.id for job in self.held.values() if job.leaving}
        self.used: dict[str, float] = {}
        self.firm: dict[str, float] = {}
        for job in self.held.values():
            if not job.leaving:
                self._count(job, +1)

    def run(self) -> list[Decision]:
        """
        Let the projects take turns, each with its foremost waiting job.

        Those with a claim come first, then those within quota, then the poorest project.
        """
        decisions: list[Decision] = []
        queues: dict[str, list[Job]] = {}
        for job in sorted(self.waiting, key=_foremost, reverse=True):
            queues.setdefault(job.project, []).append(job)
        while queues:
            project = min(queues, key=lambda name: self._turn(queues[name][-1]))
            decisions.extend(self._decide(queues[project].pop()))
            if not queues[project]:
                del queues[project]
        return decisions

    def _turn(self, job: Job) -> tuple[bool, bool, float, int, float, str]:
        quota = self.quotas.get(job.project, 0.0)
        wealth = self.used.get(job.project, 0.0) / quota if quota else float("inf")
        return (not job.claims, not self._within_quota(job), wealth, -job.priority, job.submitted, job.id)

    def _decide(self, job: Job) -> list[Decision]:
        if not job.preemptible and self._over_firm_quota(job):
            return [self._refuse(job)]
        slots = self.free.fit(job.pods, job.avoid)
        if slots is not None:
            self._reserve(job, slots)
            return [Place(job.id, slots)]
        slots = self.soon.fit(job.pods, job.avoid)
        if slots is not None:
            self._reserve(job, slots)
            return [_claim(job)]
        return self._push(job)

    def _push(self, job: Job) -> list[Decision]:
        """Make room by stopping others, if that is allowed and helps."""
        victims = self._victims(job)
        if not victims:
            return [Wait(job.id, "", f"Not enough free GPUs for {job.gpus:g} in the node pool default")]
        for victim in victims:
            self._drop(victim)
        slots = self.soon.fit(job.pods, job.avoid)
        assert slots is not None, "victims are only chosen if their going makes room"
        self._reserve(job, slots)
        return [*(Evict(victim.id, _because(victim, job)) for victim in victims), _claim(job)]

    def _victims(self, job: Job) -> list[Job]:
        """
        Pick the fewest who may be stopped for this job and whose going makes room for it.

        Looks at the whole cluster and then at one node at a time, because what is freed here and there is of no
        use to a pod that needs all of a node.
        """
        candidates = self._candidates(job)
        nodes = sorted({slot.node for one in candidates for slot in one.placed})
        groups = [candidates, *([one for one in candidates if _is_on(one, node)] for node in nodes)]
        found = [victims for victims in (self._enough(job, group) for group in groups) if victims]
        return min(found, key=len, default=[])

    def _enough(self, job: Job, candidates: Sequence[Job]) -> list[Job]:
        """Take candidates in their order until there is room; empty if there never is."""
        room = self.soon
        used = dict(self.used)
        chosen: list[Job] = []
        for victim in candidates:
            # Reclaim stops as soon as the other project is back at its quota: checked against the running count.
            if victim.project != job.project and used[victim.project] <= self.quotas.get(victim.project, 0.0):
                continue
            room = room.without(victim.placed)
            used[victim.project] -= victim.gpus
            chosen.append(victim)
            if room.fit(job.pods, job.avoid) is not None:
                return self._fewest(job, chosen)
        return []

    def _fewest(self, job: Job, chosen: Sequence[Job]) -> list[Job]:
        """Spare those whose going turned out not to be needed (they sat on other nodes)."""
        needed = list(chosen)
        for victim in list(needed)[:-1]:
            others = [other for other in needed if other is not victim]
            room = self.soon.without(slot for other in others for slot in other.placed)
            if room.fit(job.pods, job.avoid) is not None:
                needed = others
        return needed

    def _candidates(self, job: Job) -> list[Job]:
        """List who may be stopped for a job: borrowers if it is within quota, and lesser ones of its project."""
        running = [other for other in self.held.values() if other.preemptible and other.id not in self.leaving]
        lesser = [o for o in running if o.project == job.project and o.priority < job.priority and o.gpus > 0]
        borrowers = [o for o in running if o.project != job.project and self._borrows(o) and o.gpus > 0]
        if not self._within_quota(job):
            return sorted(lesser, key=_dispensable)
        return sorted(borrowers, key=_dispensable) + sorted(lesser, key=_dispensable)

    def _borrows(self, job: Job) -> bool:
        return self.used.get(job.project, 0.0) > self.quotas.get(job.project, 0.0)

    def _within_quota(self, job: Job) -> bool:
        return self.used.get(job.project, 0.0) + job.gpus <= self.quotas.get(job.project, 0.0) + 1e-9

    def _over_firm_quota(self, job: Job) -> bool:
        return self.firm.get(job.project, 0.0) + job.gpus > self.quotas.get(job.project, 0.0) + 1e-9

    def _refuse(self, job: Job) -> Wait:
        quota = self.quotas.get(job.project, 0.0)
        message = (
            f"Non-preemptible workload over quota: project {job.project} has a quota of {quota:g} GPUs, "
            f"{self.firm.get(job.project, 0.0):g} of it in use by non-preemptible workloads, {job.gpus:g} asked for"
        )
        return Wait(job.id, OVER_QUOTA, message)

    def _reserve(self, job: Job, slots: tuple[Slot, ...]) -> None:
        self.free = self.free.taking(slots)
        self.soon = self.soon.taking(slots)
        self._count(job, +1)

    def _drop(self, victim: Job) -> None:
        self.leaving.add(victim.id)
        self.soon = self.soon.without(victim.placed)
        self._count(victim, -1)

    def _count(self, job: Job, sign: int) -> None:
        self.used[job.project] = self.used.get(job.project, 0.0) + sign * job.gpus
        if not job.preemptible:
            self.firm[job.project] = self.firm.get(job.project, 0.0) + sign * job.gpus


def _claim(job: Job) -> Wait:
    return Wait(job.id, "", "Waiting for GPUs that are being released", claims=True)


def _foremost(job: Job) -> tuple[bool, int, float, str]:
    """Order inside a project: claims, then priority, then age."""
    return (not job.claims, -job.priority, job.submitted, job.id)


def _dispensable(job: Job) -> tuple[int, float, str]:
    """Least important first, then youngest."""
    return (job.priority, -job.submitted, job.id)


def _is_on(job: Job, node: str) -> bool:
    return any(slot.node == node for slot in job.placed)


def _because(victim: Job, job: Job) -> str:
    if victim.project == job.project:
        return f"Preempted by higher priority workload {job.name or job.id}"
    return f"Preempted: GPUs reclaimed by project {job.project}"

"""
One scheduling cycle: from the picture of the cluster to what is to be done. Pure; it sees no clock and no API.

KAI knows more reasons to wait than its planner of GPUs: a missing queue, a limit further up,
members that do not exist yet. They are looked at before, and what the plan leaves waiting is
explained after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from airflow_runai.emulator.scheduling.fair_share import fair_shares
from tests.rig.kai import amounts, fitting, planning, words
from tests.rig.kai.actions import Action, Bind, Evict, Explain, MarkStale, Pipeline, Remark
from tests.rig.kai.amounts import Amount
from tests.rig.kai.fitting import Room
from tests.rig.kai.planning import Plan, Victim
from tests.rig.kai.queue_details import queue_details
from tests.rig.kai.reading import seconds
from tests.rig.kai.snapshot import STALE_ANNOTATION, Group, Pod, Queue, Snapshot

__all__ = ["decide", "lacks_members"]


def decide(
    snapshot: Snapshot, now: float, grace: float, short: Collection[str] = ()
) -> list[Action]:
    """
    Decide about every group that waits, and about gangs that have lost a member.

    :param now: seconds since 1970.
    :param grace: seconds that a gang may run with too few members.
    :param short: ids of the groups that lacked members in the cycle before. KAI notes a gang as
        stale the first time it sees it so; whether it sees the moment between two members' ends is
        chance there, and must not be here.
    """
    return [*_Cycle(snapshot).run(), *_stale(snapshot, now, grace, short)]


def lacks_members(group: Group) -> bool:
    """
    Whether a gang runs with too few members.

    Those that are leaving count; one that has succeeded excuses all.
    """
    return 0 < len(group.active) < group.minimum and not group.succeeded


class _Cycle:
    """The working memory of one cycle: the room that is left, and who has got a place."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.room = Room(snapshot)
        self.used = {name: snapshot.used(name) for name in snapshot.queues}
        self.firm = {name: snapshot.firm(name) for name in snapshot.queues}

    def run(self) -> Iterator[Action]:
        hopeful: list[Group] = []
        for group in self.snapshot.groups:
            if not group.waiting or _wants_part_of_a_gpu(group):
                continue
            action = self._before_planning(group)
            if action is None:
                hopeful.append(group)
            else:
                yield action
        for nodes, groups in self._pools(hopeful).items():
            plan = planning.make(self.snapshot, nodes, groups) if nodes else Plan()
            yield from self._carry_out(plan, groups, nodes)

    def _before_planning(self, group: Group) -> Action | None:
        queue = self.snapshot.queues.get(group.queue)
        if queue is None or (queue.parent and queue.parent not in self.snapshot.queues):
            return self._explain(group, words.unknown_queue(group.queue))
        if self.snapshot.is_parent(queue.name):
            return self._explain(group, words.Reason("", ""))
        there = len(group.waiting) + len(group.running)
        if there < group.minimum:
            return Remark(group, "NotReady", words.gang_incomplete(group.minimum, there))
        above = self.snapshot.queues.get(queue.parent)
        if above and above.limit is not None and _asks(group).gpus > above.limit:
            return self._explain(group, self._over_limit(above, group))
        return None

    def _pools(self, groups: list[Group]) -> dict[frozenset[str], list[Group]]:
        pools: dict[frozenset[str], list[Group]] = {}
        for group in groups:
            allowed = [fitting.may_run_on(pod, self.room) for pod in group.waiting]
            pools.setdefault(frozenset.intersection(*allowed), []).append(group)
        return pools

    def _carry_out(
        self, plan: Plan, groups: list[Group], nodes: frozenset[str]
    ) -> Iterator[Action]:
        started = [group for group in groups if self._start(plan.places.get(group.id, ()), group)]
        for group in started:
            yield Bind(group, plan.places[group.id])
        for places in plan.pipelined.values():
            for pod, node in places:
                self.room.use(node, pod.asks)
                yield Pipeline(pod, node)
        for victim in plan.victims:
            yield self._evict(victim, plan.victims, nodes)
        for group in groups:
            if group not in started and group.id not in plan.pipelined:
                yield self._explain(group, self._why(group))

    def _start(self, places: planning.Places, group: Group) -> bool:
        """Take the room for pods that start; the plan knows nothing of CPU, memory and limits further up."""
        if not places or self._exceeded(group):
            return False
        after = self.room.copy()
        for pod, node in places:
            if after.missing(after.nodes[node], pod.asks):
                return False
            after.use(node, pod.asks)
        self.room = after
        asks = _asks(group)
        self.used[group.queue] += asks
        self.firm[group.queue] += Amount() if group.preemptible else asks
        return True

    def _evict(self, victim: Victim, victims: list[Victim], nodes: frozenset[str]) -> Evict:
        together = [
            other for other in victims if (other.by, other.cause.id) == (victim.by, victim.cause.id)
        ]
        return Evict(
            group=victim.part.group,
            pods=victim.part.pods,
            by=victim.by,
            messages={pod.uid: self._farewell(pod, victim, nodes) for pod in victim.part.pods},
            cause=victim.cause,
            count=sum(len(other.part.pods) for other in together),
        )

    def _farewell(self, pod: Pod, victim: Victim, nodes: frozenset[str]) -> str:
        if victim.by == "consolidation":
            return words.moved(pod)
        if victim.by == "preempt":
            return words.outranked(pod, victim.cause)
        loser, winner = (
            self._standing(group.queue, nodes) for group in (victim.part.group, victim.cause)
        )
        return words.reclaimed(pod, victim.cause, loser, winner)

    def _standing(self, name: str, nodes: frozenset[str]) -> words.Standing:
        """Read a queue's numbers as they were before this cycle; without a limit the fair share is what it asks for."""
        asked = self.snapshot.asked(name)
        room = sum(node.room.gpus for node in self.snapshot.nodes if node.name in nodes)
        everybody = {queue: self.snapshot.asked(queue).gpus for queue in self.snapshot.queues}
        shares = fair_shares(room, planning.leaves(self.snapshot, room), everybody)
        fair = Amount(asked.cpu, asked.memory, shares[name])
        return words.Standing(self.snapshot.queues[name], self.snapshot.used(name), fair)

    def _why(self, group: Group) -> words.Reason:
        queue = self.snapshot.queues[group.queue]
        if exceeded := self._exceeded(group):
            return self._over_limit(exceeded, group)
        if not group.preemptible and self._is_over_quota(queue, group):
            details = queue_details(self.snapshot, queue, group)
            return words.over_quota(queue, self.firm[queue.name], _asks(group), details)
        fits, stuck, why = fitting.first_without_place(group.waiting, self.room)
        if group.minimum > 1 and len(group.running) < group.minimum:
            return words.gang_too_big(fits, group.minimum, why)
        return words.nowhere(stuck, why)

    def _exceeded(self, group: Group) -> Queue | None:
        """Find a queue whose limit the group would break: its own, or the one above that."""
        queue = self.snapshot.queues[group.queue]
        line = (queue, self.snapshot.queues.get(queue.parent))
        return next((one for one in line if one and self._is_over_limit(one, group)), None)

    def _is_over_limit(self, queue: Queue, group: Group) -> bool:
        return (
            queue.limit is not None
            and self._used_below(queue).gpus + _asks(group).gpus > queue.limit
        )

    def _is_over_quota(self, queue: Queue, group: Group) -> bool:
        quota = queue.quota["gpu"]
        return quota is not None and self.firm[queue.name].gpus + _asks(group).gpus > quota

    def _over_limit(self, queue: Queue, group: Group) -> words.Reason:
        details = queue_details(self.snapshot, queue, group)
        return words.over_limit(queue, self._used_below(queue), _asks(group), details)

    def _used_below(self, queue: Queue) -> Amount:
        below = [
            other.name for other in self.snapshot.queues.values() if other.parent == queue.name
        ]
        return amounts.total(self.used[name] for name in [queue.name, *below])

    def _explain(self, group: Group, reason: words.Reason) -> Explain:
        """Give the pod that found no place its own reason, and the others that of the group."""
        texts = {pod.uid: reason.pod_message for pod in group.waiting}
        if reason.code == "PodSchedulingErrors":
            _, stuck, why = fitting.first_without_place(group.waiting, self.room)
            texts[stuck.uid] = why
        return Explain(group, reason, tuple((pod, texts[pod.uid]) for pod in group.waiting))


def _stale(
    snapshot: Snapshot, now: float, grace: float, short: Collection[str]
) -> Iterator[Action]:
    """Look for gangs that run with too few members: noted first, then told in every cycle, ended after the grace."""
    for group in snapshot.groups:
        if not lacks_members(group) or group.id not in short:
            continue
        since = (group.raw["metadata"].get("annotations") or {}).get(STALE_ANNOTATION)
        if since is None:
            yield MarkStale(group)
            continue
        yield Remark(group, "StaleJob", words.stale(len(group.active), group.minimum))
        if group.running and now - seconds(since) >= grace:
            texts = {pod.uid: words.stale_pod(pod, group.minimum) for pod in group.running}
            yield Evict(
                group,
                group.running,
                "stalegangeviction",
                texts,
                cause=None,
                count=len(group.running),
            )


def _asks(group: Group) -> Amount:
    return amounts.total(pod.asks for pod in group.waiting)


def _wants_part_of_a_gpu(group: Group) -> bool:
    """
    KAI without reservation pods never starts such a pod and says nothing (kubernetes-facts §18).
    """
    return any(
        "gpu-fraction" in (pod.raw["metadata"].get("annotations") or {}) for pod in group.waiting
    )

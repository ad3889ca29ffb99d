"""
KAI's texts, word for word: why a pod waits, why one had to go, what was done.

Two full stops at an end are KAI's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.rig.kai.amounts import Amount
from tests.rig.kai.snapshot import Group, Pod, Queue

__all__ = [
    "Reason",
    "gang_incomplete",
    "gang_too_big",
    "moved",
    "no_claim",
    "no_room",
    "nowhere",
    "outranked",
    "over_limit",
    "over_quota",
    "reclaimed",
    "stale",
    "stale_pod",
    "too_big",
    "unknown_queue",
]

POOL = "default"
GIGABYTE = 10**9
UNSCHEDULABLE = "no nodes with enough resources were found: "


@dataclass(frozen=True)
class Reason:
    """
    Why a pod group waits.

    :param code: KAI's word for the kind of reason; empty where KAI gives none.
    :param text: without the code.
    :param details: what KAI adds for programs.
    """

    code: str
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The text as it stands in conditions and events of the group."""
        return f"{self.code}: {self.text}." if self.code else "Unable to schedule podgroup"

    @property
    def pod_message(self) -> str:
        """The same for a pod that has no reason of its own."""
        return self.message if self.code else "Unable to schedule pod"


def unknown_queue(name: str) -> Reason:
    """Say that the queue of a group, or the parent of its queue, is not there."""
    return Reason("QueueDoesNotExist", f"Queue '{name}' does not exist")


def over_limit(queue: Queue, used: Amount, asks: Amount, details: Mapping[str, Any]) -> Reason:
    """Say that a queue, of the group or above it, may not use more."""
    text = (
        f"{queue.name} quota has reached the allowable limit of GPUs. Limit is {number(queue.limit or 0)} GPUs, "
        f"currently {number(used.gpus)} GPUs allocated and workload requested {number(asks.gpus)} GPUs"
    )
    return Reason("OverLimit", text, details)


def over_quota(queue: Queue, firm: Amount, asks: Amount, details: Mapping[str, Any]) -> Reason:
    """Say that what cannot be preempted must stay within the quota."""
    text = (
        f"Non-preemptible workload is over quota. Workload requested {number(asks.gpus)} GPUs, "
        f"but {queue.name} quota is {number(queue.quota['gpu'] or 0)} GPUs, while {number(firm.gpus)} GPUs are "
        "already allocated for non-preemptible pods. Use a preemptible workload to go over quota."
    )
    return Reason("NonPreemptibleOverQuota", text, details)


def no_room(causes: Mapping[str, int]) -> str:
    """
    Say that no node has room for a pod.

    :param causes: number of nodes for each cause, such as ``didn't have enough resources: GPUs``.
    """
    counted = sorted(f"{count} node(s) {cause}" for cause, count in causes.items())
    return f"{UNSCHEDULABLE}{', '.join(counted)}."


def too_big(pod: Pod, most: float) -> str:
    """Say that a pod wants more GPUs than any node has at all."""
    wants = f"{describe(pod.asks)}, pods: 1"
    return (
        f"Scheduling conditions were not met for pod {pod.path}:\n"
        f"MaxNodePoolResources: The pod {pod.path} requires {wants}. "
        f"Max GPU resources available in a single node in the {POOL} node-pool is topped at {number(most)}.\n"
    )


def no_claim(pod: Pod, name: str) -> str:
    """Say that a persistent volume claim does not exist."""
    return (
        f"Scheduling conditions were not met for pod {pod.path}:\n"
        f'VolumeBinding: persistentvolumeclaim "{name}" not found.\n'
    )


def nowhere(pod: Pod, why: str) -> Reason:
    """Say that a group of one pod cannot start, for the reason of that pod."""
    return Reason(
        "PodSchedulingErrors", f"Resources were not found for pod {pod.path} due to: {why}"
    )


def gang_too_big(fitting: int, minimum: int, why: str) -> Reason:
    """Say that only some members of a gang would find a place."""
    text = (
        f"Resources were found for {fitting} pods while {minimum} are required for gang scheduling. "
        f"Additional pods cannot be scheduled due to: {why}"
    )
    return Reason("PodSchedulingErrors", text)


def gang_incomplete(minimum: int, there: int) -> str:
    """Say that members of a gang are missing."""
    return f"Job is not ready for scheduling. Waiting for {minimum} pods, currently {there} exist, 0 are gated"


def stale(active: int, minimum: int) -> str:
    """Say that a gang runs with too few members."""
    return f"Job is stale. {active} pods are active, minMember is {minimum}"


def stale_pod(pod: Pod, minimum: int) -> str:
    """Say why the rest of a gang must go."""
    return f"Workload doesn't meet the minimum required number of pods ({minimum}), evicting remaining pod: {pod.path}"


@dataclass(frozen=True)
class Standing:
    """A queue in the moment of a decision: what it uses and what it may count on."""

    queue: Queue
    used: Amount
    fair: Amount

    def __str__(self) -> str:
        """Write the sentence about it."""
        quota = self.queue.quota
        return (
            f"{self.queue.name} uses <{describe(self.used)}> with a quota of "
            f"<{_or_unlimited(quota)}>, fair-share of <{describe(self.fair)}> "
            f"and queue priority of <{self.queue.priority}>."
        )


def reclaimed(pod: Pod, by: Group, loser: Standing, winner: Standing) -> str:
    """Say that another queue took back what it may have."""
    return f"Pod {pod.path} was preempted by workload {by.id}.\n{loser}\n{winner}"


def outranked(pod: Pod, by: Group) -> str:
    """Say that a more important job of the same queue took its place."""
    return f"Pod {pod.path} was preempted by higher priority workload {by.id}"


def moved(pod: Pod) -> str:
    """Say that it must make room, as there is another place for it."""
    return f"Pod {pod.path} was preempted and rescheduled due to bin packing (resource consolidation) procedure"


def describe(amount: Amount) -> str:
    """Write an amount as ``GPU: 2, CPU: 0.1 (cores), memory: 0.067 (GB)``."""
    cpu, memory = number(amount.cpu / 1000), number(amount.memory / GIGABYTE)
    return f"GPU: {number(amount.gpus)}, CPU: {cpu} (cores), memory: {memory} (GB)"


def number(value: float) -> str:
    """Write a number with at most three decimals and none that says nothing."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _or_unlimited(quota: Mapping[str, float | None]) -> str:
    """Write a quota: CPU in thousandths of a core and memory in megabytes, as a queue's specification has them."""
    gpu, cpu, memory = (quota[name] for name in ("gpu", "cpu", "memory"))
    cores = "Unlimited" if cpu is None else number(cpu / 1000)
    size = "Unlimited" if memory is None else number(memory / 1000)
    return f"GPU: {'Unlimited' if gpu is None else number(gpu)}, CPU: {cores} (cores), memory: {size} (GB)"

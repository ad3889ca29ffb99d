"""The numbers that KAI adds to a reason about a queue, in ``reasons[0].details.queueDetails``."""

from __future__ import annotations

from typing import Any

from tests.rig.kai import amounts
from tests.rig.kai.amounts import GPU, Amount
from tests.rig.kai.snapshot import Group, Queue, Snapshot

__all__ = ["queue_details"]


def queue_details(snapshot: Snapshot, queue: Queue, group: Group) -> dict[str, Any]:
    """Collect what the queue has, and what the group asks of it."""
    asks = amounts.total(pod.asks for pod in group.waiting)
    gpu_quota = queue.quota["gpu"]
    details = {
        "name": queue.name,
        "podGroupRequestedResources": _in_bytes(asks),
        "podGroupRequestedNonPreemptibleResources": _in_bytes(
            Amount() if group.preemptible else asks
        ),
        "queueAllocatedResources": _in_bytes(snapshot.used(queue.name)),
        "queueAllocatedNonPreemptibleResources": _in_bytes(snapshot.firm(queue.name)),
        "queueRequestedResources": _in_bytes(snapshot.asked(queue.name)),
        "queueDeservedResources": _unlimited(-1 if gpu_quota is None else gpu_quota),
        # KAI writes an unlimited number of GPUs as 0 here, and only here.
        "queueResourceLimits": _unlimited(queue.limit or 0),
    }
    return {"queueDetails": details}


def _in_bytes(amount: Amount) -> dict[str, str]:
    return {
        "cpu": amounts.cpu_quantity(amount.cpu),
        "memory": str(amount.memory),
        GPU: amounts.gpu_quantity(amount.gpus),
    }


def _unlimited(gpus: float) -> dict[str, str]:
    """CPU and memory of the rig's queues are always unlimited: -1 thousandth of a core, -1 byte."""
    return {"cpu": "-1m", "memory": "-1", GPU: amounts.gpu_quantity(gpus)}

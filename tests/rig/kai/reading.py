"""
Reads API objects into the picture that a cycle works on. Pure: the same objects give the same picture.

The API server of the rig does not check queues and groups: a number that is none counts as not
written, as a scheduler must not stop for one broken object.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from tests.rig.kai import amounts
from tests.rig.kai.snapshot import (
    GROUP_ANNOTATION,
    SCHEDULER,
    Group,
    Node,
    Object,
    Pod,
    Queue,
    Snapshot,
)

__all__ = ["ended", "seconds", "take"]

PREEMPTIBLE_BELOW = 100
DEFAULT_PRIORITY = 50
QUEUE_PRIORITY = 100


def take(
    nodes: Iterable[Object],
    queues: Iterable[Object],
    groups: Collection[Object],
    pods: Iterable[Object],
    priorities: Iterable[Object],
    claims: Iterable[Object] = (),
    assumed: Mapping[str, str] | None = None,
) -> Snapshot:
    """
    Read the objects of six collections.

    :param assumed: nodes of pods, by uid, that were bound a moment ago and are not yet seen there;
        empty for a pod that was told to go.
    """
    members: dict[str, list[Object]] = {
        f"{_namespace(group)}/{_name(group)}": [] for group in groups
    }
    strangers: list[Pod] = []
    for pod in pods:
        name = (pod["metadata"].get("annotations") or {}).get(GROUP_ANNOTATION)
        mine = members.get(f"{_namespace(pod)}/{name}")
        if mine is not None and pod["spec"].get("schedulerName") == SCHEDULER:
            mine.append(pod)
        elif pod["spec"].get("nodeName") and not ended(pod):
            strangers.append(_pod(pod, {}))
    values = {_name(one): int(one["value"]) for one in priorities}
    return Snapshot(
        nodes=tuple(
            sorted((_node(node) for node in nodes if _is_ready(node)), key=lambda node: node.name)
        ),
        queues=_queues(queues),
        groups=tuple(_group(group, members, values, assumed or {}) for group in groups),
        strangers=tuple(strangers),
        claims=frozenset(f"{_namespace(one)}/{_name(one)}" for one in claims),
    )


def ended(pod: Object) -> bool:
    """Whether a pod holds nothing any more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def seconds(timestamp: str) -> float:
    """Read an RFC 3339 time as seconds since 1970."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def _name(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def _namespace(thing: Object) -> str:
    return str(thing["metadata"].get("namespace", ""))


def _group(
    group: Object,
    members: Mapping[str, list[Object]],
    values: Mapping[str, int],
    assumed: Mapping[str, str],
) -> Group:
    metadata, spec = group["metadata"], group.get("spec") or {}
    mine = members[f"{metadata['namespace']}/{metadata['name']}"]
    priority = values.get(spec.get("priorityClassName", ""), DEFAULT_PRIORITY)
    told = spec.get("preemptibility")
    return Group(
        namespace=metadata["namespace"],
        name=metadata["name"],
        queue=spec.get("queue", ""),
        priority=priority,
        preemptible=told == "preemptible" if told else priority < PREEMPTIBLE_BELOW,
        created=seconds(metadata["creationTimestamp"]),
        minimum=int(_number(spec.get("minMember"), 1)),
        pods=tuple(_pod(pod, assumed) for pod in mine if not ended(pod) and not _is_gated(pod)),
        succeeded=any((pod.get("status") or {}).get("phase") == "Succeeded" for pod in mine),
        raw=group,
    )


def _pod(pod: Object, assumed: Mapping[str, str]) -> Pod:
    metadata = pod["metadata"]
    uid = metadata["uid"]
    return Pod(
        uid=uid,
        namespace=metadata["namespace"],
        name=metadata["name"],
        asks=amounts.of_pod(pod),
        node=pod["spec"].get("nodeName") or assumed.get(uid, ""),
        leaving="deletionTimestamp" in metadata or assumed.get(uid) == "",
        raw=pod,
    )


def _node(node: Object) -> Node:
    return Node(
        name=node["metadata"]["name"],
        room=amounts.of_list(
            node["status"].get("allocatable") or node["status"].get("capacity") or {}
        ),
        labels=node["metadata"].get("labels") or {},
        taints=tuple(node["spec"].get("taints") or ()),
    )


def _is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not (node.get("spec") or {}).get("unschedulable")


def _is_gated(pod: Object) -> bool:
    return bool(pod["spec"].get("schedulingGates"))


def _queues(queues: Iterable[Object]) -> dict[str, Queue]:
    by_age = sorted(
        queues,
        key=lambda queue: (queue["metadata"]["creationTimestamp"], queue["metadata"]["name"]),
    )
    return {queue["metadata"]["name"]: _queue(queue, age) for age, queue in enumerate(by_age)}


def _queue(queue: Object, age: int) -> Queue:
    spec = queue.get("spec") or {}
    resources = spec.get("resources") or {}
    gpu = resources.get("gpu") or {}
    return Queue(
        name=queue["metadata"]["name"],
        parent=spec.get("parentQueue") or "",
        age=age,
        quota={
            name: _limited((resources.get(name) or {}).get("quota"), 0)
            for name in ("cpu", "memory", "gpu")
        },
        limit=_limited(gpu.get("limit"), -1),
        weight=_number(gpu.get("overQuotaWeight"), 1),
        priority=int(_number(spec.get("priority"), QUEUE_PRIORITY)),
    )


def _limited(written: Any, default: float) -> float | None:
    """KAI writes -1 for unlimited."""
    number = _number(written, default)
    return None if number < 0 else number


def _number(written: Any, default: float) -> float:
    """Read a number of a kind that the API server does not check."""
    return (
        float(written) if isinstance(written, int | float) and math.isfinite(written) else default
    )

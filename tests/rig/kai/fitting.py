"""
Where a pod may run, and what is missing where it cannot: node selectors, taints, free resources.

Not looked at: affinities, ports, topology, and of volumes only whether the claim is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from tests.rig.kai import words
from tests.rig.kai.amounts import NOTHING, Amount
from tests.rig.kai.snapshot import Node, Pod, Snapshot

__all__ = ["Room", "first_without_place", "may_run_on", "why_not"]

SELECTOR = "didn't match Pod's node affinity/selector"


class Room:
    """What is free on each node; it changes as pods are placed."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.nodes = {node.name: node for node in snapshot.nodes}
        self.claims = snapshot.claims
        self._used: dict[str, Amount] = {}
        for pod in chain(snapshot.strangers, *(group.active for group in snapshot.groups)):
            self.use(pod.node, pod.asks)

    def use(self, node: str, amount: Amount) -> None:
        """Take room on a node."""
        self._used[node] = self._used.get(node, NOTHING) + amount

    def missing(self, node: Node, asks: Amount) -> list[str]:
        """Name what a node has too little of for this."""
        used = self._used.get(node.name, NOTHING) + asks
        over = {
            "CPU cores": used.cpu > node.room.cpu,
            "memory": used.memory > node.room.memory,
            "GPUs": used.gpus > node.room.gpus,
        }
        return [name for name, lacks in over.items() if lacks]

    def copy(self) -> Room:
        """Give an independent picture of the same."""
        other = object.__new__(Room)
        other.nodes, other.claims, other._used = self.nodes, self.claims, dict(self._used)
        return other


def may_run_on(pod: Pod, room: Room) -> frozenset[str]:
    """Name the nodes that a pod may run on, full or not: by its claims, its node selector and its tolerations."""
    if missing_claims(pod, room):
        return frozenset()
    return frozenset(node.name for node in room.nodes.values() if _refusal(pod, node) is None)


def first_fit(pod: Pod, room: Room) -> Node | None:
    """Find a node that is allowed and has room."""
    allowed = may_run_on(pod, room)
    return next(
        (
            node
            for node in room.nodes.values()
            if node.name in allowed and not room.missing(node, pod.asks)
        ),
        None,
    )


def why_not(pod: Pod, room: Room) -> str:
    """Tell in KAI's words why a pod has no place now."""
    for claim in missing_claims(pod, room):
        return words.no_claim(pod, claim)
    most = max((node.room.gpus for node in room.nodes.values()), default=0.0)
    if pod.asks.gpus > most:
        return words.too_big(pod, most)
    causes: Counter[str] = Counter()
    for node in room.nodes.values():
        refusal = _refusal(pod, node)
        missing = room.missing(node, pod.asks)
        if refusal or missing:
            causes[refusal or f"didn't have enough resources: {', '.join(missing)}"] += 1
    return words.no_room(causes)


def first_without_place(pods: Sequence[Pod], room: Room) -> tuple[int, Pod, str]:
    """
    Place pods one after the other.

    :return: how many found a place; the first one that did not (or the last); and why.
    """
    trial = room.copy()
    for count, pod in enumerate(pods):
        node = first_fit(pod, trial)
        if node is None:
            return count, pod, why_not(pod, trial)
        trial.use(node.name, pod.asks)
    return len(pods), pods[-1], why_not(pods[-1], trial)


def missing_claims(pod: Pod, room: Room) -> list[str]:
    """Name the persistent volume claims of a pod that do not exist."""
    volumes = [
        volume.get("persistentVolumeClaim") or {} for volume in pod.raw["spec"].get("volumes") or []
    ]
    names = [volume["claimName"] for volume in volumes if volume]
    return [name for name in names if f"{pod.namespace}/{name}" not in room.claims]


def _refusal(pod: Pod, node: Node) -> str | None:
    spec = pod.raw["spec"]
    wanted: Mapping[str, str] = spec.get("nodeSelector") or {}
    if any(node.labels.get(label) != value for label, value in wanted.items()):
        return SELECTOR
    for taint in node.taints:
        if taint.get("effect") != "PreferNoSchedule" and not _tolerates(
            spec.get("tolerations") or [], taint
        ):
            return f"had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return None


def _tolerates(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    return any(
        toleration.get("key") in (None, "", taint["key"])
        and toleration.get("effect") in (None, "", taint["effect"])
        and (
            toleration.get("operator") == "Exists"
            or toleration.get("value", "") == taint.get("value", "")
        )
        for toleration in tolerations
    )

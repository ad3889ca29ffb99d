"""Pictures of a cluster for tests of KAI's stand-in: the objects as an API server would give them, without one."""

from __future__ import annotations

from typing import Any

from tests.rig.kai import reading
from tests.rig.kai.actions import Action
from tests.rig.kai.cycle import decide
from tests.rig.kai.snapshot import Snapshot

__all__ = ["World", "pod"]

Object = dict[str, Any]


class World:
    """Objects as an API server gives them: one node with two GPUs, two queues with a quota of one each."""

    def __init__(self) -> None:
        self.nodes: list[Object] = []
        self.queues: list[Object] = []
        self.groups: list[Object] = []
        self.pods: list[Object] = []
        self.claims: list[Object] = []
        self.node("node-0", gpus=2)
        self.queue("parent", quota=-1, parent="")
        self.queue("team-a")
        self.queue("team-b")

    def node(
        self,
        name: str,
        gpus: int,
        cpu: int = 64,
        taints: tuple[Object, ...] = (),
        ready: bool = True,
    ) -> None:
        room = {"cpu": str(cpu), "memory": "256Gi", "nvidia.com/gpu": str(gpus)}
        conditions = [{"type": "Ready", "status": str(ready)}]
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
        status = {"allocatable": room, "conditions": conditions}
        self.nodes.append(
            {"metadata": metadata, "spec": {"taints": list(taints)}, "status": status}
        )

    def queue(self, name: str, quota: int = 1, limit: int = -1, parent: str = "parent") -> None:
        gpu = {"quota": quota, "limit": limit, "overQuotaWeight": 1}
        metadata = {"name": name, "creationTimestamp": "2026-11-26T13:00:00Z"}
        self.queues = [queue for queue in self.queues if queue["metadata"]["name"] != name]
        self.queues.append(
            {"metadata": metadata, "spec": {"parentQueue": parent, "resources": {"gpu": gpu}}}
        )

    def group(
        self,
        name: str,
        *pods: str,
        queue: str = "team-a",
        gpus: float = 1,
        minimum: int = 1,
        priority: str = "train",
        annotations: Object | None = None,
        **more: Any,
    ) -> None:
        """Add a group; each word of ``pods`` is the node of a pod, with a minus if it is leaving; empty if it waits."""
        born = f"2026-11-26T14:00:{len(self.groups):02d}Z"
        metadata = {
            "name": name,
            "namespace": queue,
            "uid": name,
            "creationTimestamp": born,
            "annotations": annotations,
        }
        spec = {"queue": queue, "minMember": minimum, "priorityClassName": priority}
        self.groups.append({"metadata": metadata, "spec": spec})
        for number, where in enumerate(pods):
            self.pods.append(pod(f"{name}-{number}", name, queue, where, gpus, **more))

    def decide(self, now: float = 0, short: tuple[str, ...] = ()) -> list[Action]:
        return decide(self.picture, now=now, grace=5, short=short)

    @property
    def picture(self) -> Snapshot:
        classes = [
            {"metadata": {"name": name}, "value": value}
            for name, value in (("train", 50), ("build", 100))
        ]
        return reading.take(self.nodes, self.queues, self.groups, self.pods, classes, self.claims)


def pod(
    name: str,
    group: str,
    namespace: str,
    where: str,
    gpus: float,
    cpu: str = "100m",
    phase: str = "",
    **spec: Any,
) -> Object:
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": name,
        "annotations": {"pod-group-name": group},
    }
    if where.startswith("-"):
        metadata["deletionTimestamp"] = "2026-11-26T15:00:00Z"
    asks = {"cpu": cpu, "memory": "64Mi", "nvidia.com/gpu": str(int(gpus))}
    if 0 < gpus < 1:
        metadata["annotations"]["gpu-fraction"] = str(gpus)
    body = {
        "schedulerName": "kai-scheduler",
        "containers": [{"name": "main", "resources": {"requests": asks}}],
        **spec,
    }
    if node := where.removeprefix("-"):
        body["nodeName"] = node
    return {
        "metadata": metadata,
        "spec": body,
        "status": {"phase": phase or ("Running" if node else "Pending")},
    }

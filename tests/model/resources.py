"""The kinds that the model holds, and how a path names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """
    A kind of objects.

    :param is_custom: defined by somebody who was installed, not by Kubernetes itself.
    """

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    is_custom: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """Return the name that refusals use."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


JOBS = Resource("batch", "v1", "jobs", "Job")
JOBSETS = Resource("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet", is_custom=True)
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
NODES = Resource("", "v1", "nodes", "Node", is_namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", is_namespaced=False)
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PRIORITIES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False)
QUEUES = Resource("scheduling.run.ai", "v2", "queues", "Queue", False, is_custom=True)
PODGROUPS = Resource("scheduling.run.ai", "v2alpha2", "podgroups", "PodGroup", is_custom=True)
KUEUE = "kueue.x-k8s.io"
LOCAL_QUEUES = Resource(KUEUE, "v1beta2", "localqueues", "LocalQueue", is_custom=True)
CLUSTER_QUEUES = Resource(KUEUE, "v1beta2", "clusterqueues", "ClusterQueue", False, is_custom=True)
WORKLOADS = Resource(KUEUE, "v1beta2", "workloads", "Workload", is_custom=True)
ALL = (
    *(JOBS, JOBSETS, PODS, EVENTS, NODES, NAMESPACES, CLAIMS, PRIORITIES, QUEUES, PODGROUPS),
    *(LOCAL_QUEUES, CLUSTER_QUEUES, WORKLOADS),
)


@dataclass(frozen=True)
class Place:
    """
    What a path points at.

    :param name: empty for a collection.
    :param part: ``log``, ``status`` or empty.
    """

    resource: Resource
    namespace: str
    name: str
    part: str = ""


def place_of(path: str) -> Place | None:
    """Read a path; ``None`` where the server knows no such kind."""
    match path.strip("/").split("/"):
        case ["api", "v1", *rest]:
            group, version = "", "v1"
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    for resource in ALL:
        if rest and (resource.group, resource.version, resource.plural) == (
            group,
            version,
            rest[0],
        ):
            name, part, *_ = [*rest[1:], "", ""]
            return Place(resource, namespace, name, part)
    return None

"""Where each kind of object is served, and which kinds a cluster has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.texts import exact
from airflow_runai.errors import Unreadable


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """
    A kind of object.

    :param group: empty for the core group.
    :param resource: its plural in addresses, with a subresource if one is meant: ``pods/log``.
    """

    group: str
    version: str
    resource: str

    @property
    def api_version(self) -> str:
        """Group and version, as manifests name them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection(self, namespace: str | None) -> str:
        """Return the address of all objects in a namespace; of the whole cluster for ``None``."""
        home = f"/apis/{self.group}" if self.group else "/api"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace is not None else ""
        return f"{home}/{self.version}{within}/{self.resource}"

    def object(self, namespace: str | None, name: str) -> str:
        """Return the address of one object; of a part of it for a subresource."""
        resource, mark, part = self.resource.partition("/")
        whole = ResourceKind(self.group, self.version, resource).collection(namespace)
        return f"{whole}/{quote(name, safe='')}{mark}{part}"


JOBS = ResourceKind("batch", "v1", "jobs")
JOBSETS = ResourceKind("jobset.x-k8s.io", "v1alpha2", "jobsets")
PODS, POD_LOGS = ResourceKind("", "v1", "pods"), ResourceKind("", "v1", "pods/log")
EVENTS, CLAIMS = ResourceKind("", "v1", "events"), ResourceKind("", "v1", "persistentvolumeclaims")
NAMESPACES = ResourceKind("", "v1", "namespaces")
PRIORITY_CLASSES = ResourceKind("scheduling.k8s.io", "v1", "priorityclasses")
QUEUES = ResourceKind("scheduling.run.ai", "v2", "queues")
PODGROUPS = ResourceKind("scheduling.run.ai", "v2alpha2", "podgroups")
LOCAL_QUEUES = ResourceKind("kueue.x-k8s.io", "v1beta2", "localqueues")
CLUSTER_QUEUES = ResourceKind("kueue.x-k8s.io", "v1beta2", "clusterqueues")
WORKLOAD_PRIORITIES = ResourceKind("kueue.x-k8s.io", "v1beta2", "workloadpriorityclasses")
NODES = ResourceKind("", "v1", "nodes")
KUEUE_WORKLOADS = ResourceKind("kueue.x-k8s.io", "v1beta2", "workloads")

#: Group that gives a dialect away, strongest first: a Run:ai cluster has KAI's group, too.
_SIGNS = (("run.ai", "runai"), ("scheduling.run.ai", "kai"), ("kueue.x-k8s.io", "kueue"))


@dataclass(frozen=True)
class Discovery:
    """
    Which groups a cluster serves, in which versions.

    :param groups: the versions of each, the preferred one first; the core group is not among them.
    """

    groups: Mapping[str, tuple[str, ...]]

    def serves(self, kind: ResourceKind) -> bool:
        """Whether the kind's group and version are there; the kind itself is not asked for."""
        return not kind.group or kind.version in self.groups.get(kind.group, ())

    def version_of(self, kind: ResourceKind) -> ResourceKind | None:
        """Return the kind in the version that the cluster prefers; ``None`` without its group."""
        versions = self.groups.get(kind.group, ())
        if self.serves(kind):
            return kind
        return ResourceKind(kind.group, versions[0], kind.resource) if versions else None

    @property
    def dialect(self) -> str:
        """The dialect that these groups suggest: ``runai``, ``kai``, ``kueue`` or ``plain``."""
        return next((dialect for group, dialect in _SIGNS if group in self.groups), "plain")


def discover() -> Flow[Discovery]:
    """Ask which groups there are; every identity may, and existence is told by nothing else."""
    request = Request("GET", "/apis")
    body = accept(request, (yield request))
    if not isinstance(body, Mapping) or not isinstance(body.get("groups"), list):
        raise Unreadable("GET /apis: no list of groups; does something else answer here?")
    return Discovery(dict(_groups(body["groups"])))


def _groups(listed: Iterable[Any]) -> Iterable[tuple[str, tuple[str, ...]]]:
    for group in listed:
        if not isinstance(group, Mapping):
            continue
        preferred = group.get("preferredVersion")
        versions = group.get("versions")
        named = [preferred, *(versions if isinstance(versions, list) else [])]
        texts = [
            exact(entry.get("version"), "version of a group")
            for entry in named
            if isinstance(entry, Mapping)
        ]
        yield exact(group.get("name"), "name of a group"), tuple(dict.fromkeys(texts))

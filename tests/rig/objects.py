"""What an administrator makes in a cluster: nodes, namespaces, priority classes, and the queues of KAI and of Kueue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.rig.api import Api, Object

#: Run:ai's, and so KAI's, priority classes. From 100 on a workload is not preemptible.
PRIORITIES = {"train": 50, "build-preemptible": 75, "build": 100, "inference": 125}
#: Kueue's own priority classes, made for the tests.
WORKLOAD_PRIORITIES = {"low": 50, "high": 100}
GPU = "nvidia.com/gpu"
KUEUE = "/apis/kueue.x-k8s.io/v1beta2"
KAI = "/apis/scheduling.run.ai/v2"


def prepare(api: Api) -> None:
    """Make the priority classes."""
    for name, value in PRIORITIES.items():
        body = _object("scheduling.k8s.io/v1", "PriorityClass", name)
        api.apply(
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            body | {"value": value, "globalDefault": False},
        )


def prepare_kueue(api: Api) -> None:
    """Make Kueue's priority classes and the flavour that fits every node."""
    for name, value in WORKLOAD_PRIORITIES.items():
        body = _object("kueue.x-k8s.io/v1beta2", "WorkloadPriorityClass", name)
        api.apply(f"{KUEUE}/workloadpriorityclasses", body | {"value": value})
    add_flavor(api, "default", {})


def add_namespace(api: Api, name: str) -> None:
    """Make a namespace."""
    api.apply("/api/v1/namespaces", _object("v1", "Namespace", name))


def add_node(api: Api, name: str, port: int, gpus: int) -> None:
    """
    Make a node that is ready.

    :param port: where its kubelet serves logs.
    """
    labels = {
        "kubernetes.io/hostname": name,
        "nvidia.com/gpu.count": str(gpus),
        "nvidia.com/gpu.memory": "81920",
    }
    node = _object("v1", "Node", name)
    node["metadata"]["labels"] = labels
    api.apply("/api/v1/nodes", node)
    room = {"cpu": "64", "memory": "256Gi", "pods": "110", GPU: str(gpus)}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
    }
    status = {
        "capacity": room,
        "allocatable": room,
        "conditions": [ready],
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": _node_info(),
    }
    api.merge(f"/api/v1/nodes/{name}/status", {"status": status})


def add_queue(
    api: Api,
    name: str,
    quota: float = 1,
    limit: float = -1,
    weight: float = 1,
    parent: str | None = "parent",
) -> None:
    """
    Make or change one of KAI's queues.

    :param quota: GPUs that it deserves; -1 is without bound.
    :param limit: GPUs that it may have at most; -1 is without bound.
    :param weight: its part of what others leave over.
    """
    free = {"quota": -1, "limit": -1, "overQuotaWeight": weight}
    resources = {
        "gpu": {"quota": quota, "limit": limit, "overQuotaWeight": weight},
        "cpu": free,
        "memory": free,
    }
    spec: Object = {"resources": resources} | ({"parentQueue": parent} if parent else {})
    api.apply(f"{KAI}/queues", _object("scheduling.run.ai/v2", "Queue", name) | {"spec": spec})


def add_flavor(api: Api, name: str, node_labels: Mapping[str, str]) -> None:
    """Make a flavour of Kueue: which nodes a quota is about."""
    body = _object("kueue.x-k8s.io/v1beta2", "ResourceFlavor", name)
    api.apply(
        f"{KUEUE}/resourceflavors",
        body | {"spec": {"nodeLabels": dict(node_labels)} if node_labels else {}},
    )


def add_quota_queue(
    api: Api, name: str, cohort: str, flavor: str = "default", gpus: int = 1
) -> None:
    """
    Make a ClusterQueue of Kueue.

    :param cohort: the queues that borrow from each other.
    :param gpus: its nominal quota.
    """
    nominal = {"cpu": "32", "memory": "128Gi", GPU: str(gpus)}
    quotas = [{"name": resource, "nominalQuota": amount} for resource, amount in nominal.items()]
    spec = {
        "cohortName": cohort,
        "namespaceSelector": {},
        "queueingStrategy": "BestEffortFIFO",
        "preemption": {"reclaimWithinCohort": "Any", "withinClusterQueue": "LowerPriority"},
        "resourceGroups": [
            {"coveredResources": list(nominal), "flavors": [{"name": flavor, "resources": quotas}]}
        ],
    }
    api.apply(
        f"{KUEUE}/clusterqueues",
        _object("kueue.x-k8s.io/v1beta2", "ClusterQueue", name) | {"spec": spec},
    )


def add_local_queue(api: Api, namespace: str, name: str, queue: str) -> None:
    """Make a LocalQueue of Kueue: a namespace's door to a ClusterQueue."""
    body = _object("kueue.x-k8s.io/v1beta2", "LocalQueue", name) | {"spec": {"clusterQueue": queue}}
    api.apply(f"{KUEUE}/namespaces/{namespace}/localqueues", body)


def add_bound_claim(api: Api, namespace: str, name: str, folder: Path) -> None:
    """
    Make a claim, and its volume of the same name, bound by hand: the controller for that does not run.

    :param folder: what the pods see.
    """
    volumes, claims = (
        "/api/v1/persistentvolumes",
        f"/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    )
    size, modes = {"storage": "1Gi"}, {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    owner = {"kind": "PersistentVolumeClaim", "name": name, "namespace": namespace}
    volume = {"capacity": size, "claimRef": owner, "hostPath": {"path": str(folder)}, **modes}
    api.create(volumes, _object("v1", "PersistentVolume", name) | {"spec": volume})
    claim = _object("v1", "PersistentVolumeClaim", name)
    claim["metadata"]["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    claim["spec"] = {"volumeName": name, "resources": {"requests": size}, **modes}
    api.create(claims, claim)
    api.merge(f"{claims}/{name}/status", {"status": {"phase": "Bound"}})
    # Nobody here would end their protection.
    for thing in (f"{claims}/{name}", f"{volumes}/{name}"):
        api.merge(thing, {"metadata": {"finalizers": None}})


def takes_work(api: Api, queue: str) -> bool:
    """Tell whether a ClusterQueue of Kueue is active."""
    conditions = api.get(f"{KUEUE}/clusterqueues/{queue}").get("status", {}).get("conditions") or []
    return any(one["type"] == "Active" and one["status"] == "True" for one in conditions)


def _object(version: str, kind: str, name: str) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}


def _node_info() -> Object:
    words = "machineID systemUUID bootID kernelVersion osImage containerRuntimeVersion kubeletVersion kubeProxyVersion"
    return {word: "stand-in" for word in words.split()} | {
        "operatingSystem": "linux",
        "architecture": "amd64",
    }

"""The Jobs of others: of the shape of a training, without the client's label, made by an administrator."""

from __future__ import annotations

from collections.abc import Mapping

from tests.rig.api import Object


def kai_job(
    name: str,
    namespace: str,
    seconds: float,
    *,
    gpus: int = 1,
    priority: str = "train",
    labels: Mapping[str, str] | None = None,
) -> Object:
    """Return a Job for KAI's queue of its namespace."""
    own = {"kai.scheduler/queue": namespace, "priorityClassName": priority}
    pod = {"schedulerName": "kai-scheduler", "priorityClassName": priority}
    labels = {"app.kubernetes.io/managed-by": "someone-else"} if labels is None else labels
    return _job(
        name, namespace, seconds, gpus, {"cpu": "100m", "memory": "64Mi"}, {**own, **labels}, pod, 6
    )


def plain_job(name: str, seconds: float, *, gpus: int, priority: str) -> Object:
    """Return a Job in team-a for kube-scheduler."""
    return _job(
        name,
        "team-a",
        seconds,
        gpus,
        {"cpu": "1", "memory": "1Gi"},
        {},
        {"priorityClassName": priority},
        20,
    )


def kueue_job(name: str, namespace: str, seconds: float, *, priority: str | None = None) -> Object:
    """Return a Job for Kueue's LocalQueue of its namespace."""
    labels = {"kueue.x-k8s.io/queue-name": "train"} | (
        {"kueue.x-k8s.io/priority-class": priority} if priority else {}
    )
    return _job(name, namespace, seconds, 1, {"cpu": "1", "memory": "1Gi"}, labels, {}, 20)


def _job(
    name: str,
    namespace: str,
    seconds: float,
    gpus: int,
    requests: Mapping[str, str],
    labels: Mapping[str, str],
    pod: Object,
    limit: int,
) -> Object:
    container = {
        "name": "main",
        "image": "registry.example/train:1",
        "command": ["sh", "-c", f"sleep {seconds:g}"],
        "resources": {"requests": dict(requests), "limits": {"nvidia.com/gpu": str(gpus)}},
    }
    template = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        **pod,
    }
    spec = {
        "backoffLimit": limit,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                }
            ]
        },
        "template": {"metadata": {"labels": dict(labels)}, "spec": template},
    }
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}

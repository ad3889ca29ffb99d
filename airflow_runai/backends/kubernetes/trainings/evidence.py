"""
What is asked for only when something has happened: pods that are left, and what was said of them.

Neither is watched. Events of a busy namespace would cost more than all else, and they have no
bookmarks, so nobody could tell a quiet watch from a dead one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from airflow_runai.backends.kubernetes.api.lists import read_objects
from airflow_runai.backends.kubernetes.api.paths import EVENTS, PODS
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.objects import word

#: Labels by which a pod names its workload. Not owners: a pod that was let go has none any more.
OF_JOB, OF_JOBSET = "batch.kubernetes.io/controller-uid", "jobset.sigs.k8s.io/jobset-uid"
_ENDED = ("Succeeded", "Failed")

Object = Mapping[str, Any]


def pods_of(namespace: str, uid: str, label: str = OF_JOB) -> Flow[list[Object]]:
    """
    Return the pods of a workload, also those that its deletion has left behind.

    :param label: :data:`OF_JOB` or :data:`OF_JOBSET`.
    """
    selector = [("labelSelector", f"{label}={uid}")]
    found, _ = yield from read_objects(PODS.collection(namespace), selector)
    return found


def writers(namespace: str, uid: str, label: str = OF_JOB) -> Flow[int]:
    """Return how many pods of a workload may still write: all whose containers have not ended."""
    pods = yield from pods_of(namespace, uid, label)
    return sum(_phase(pod) not in _ENDED for pod in pods)


def events_about(namespace: str, kind: str, *, name: str = "", uid: str = "") -> Flow[list[Object]]:
    """
    Return the events about one object, as far as the cluster remembers them.

    :param kind: as in manifests, such as ``PodGroup``.
    :param name: of the object, or give its ``uid``, or both.
    """
    wanted = {"kind": kind, "name": name, "uid": uid}
    fields = [f"involvedObject.{field}={value}" for field, value in wanted.items() if value]
    selector = [("fieldSelector", ",".join(fields))]
    found, _ = yield from read_objects(EVENTS.collection(namespace), selector)
    return found


def evictions(namespace: str) -> Flow[list[Object]]:
    """Return the events by which KAI says that it takes pods away, whichever pods these are."""
    selector = [("fieldSelector", "involvedObject.kind=PodGroup,reason=Evict")]
    found, _ = yield from read_objects(EVENTS.collection(namespace), selector)
    return found


def preemptions(namespace: str, pods: Container[str]) -> Flow[list[Object]]:
    """Return the events by which the kube-scheduler says that it takes some of these pods away."""
    selector = [("fieldSelector", "involvedObject.kind=Pod,reason=Preempted")]
    found, _ = yield from read_objects(EVENTS.collection(namespace), selector)
    return [one for one in found if word(one, "involvedObject", "name") in pods]


def _phase(pod: Object) -> object:
    status = pod.get("status")
    return status.get("phase") if isinstance(status, Mapping) else None

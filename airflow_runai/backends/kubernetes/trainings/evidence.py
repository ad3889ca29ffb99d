"""
What is asked for only when something has happened: pods that are left, and what was said of them.

Neither is watched. Events of a busy namespace would cost more than all else, and they have no
bookmarks, so nobody could tell a quiet watch from a dead one.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

from airflow_runai.backends.kubernetes.api.lists import read_objects
from airflow_runai.backends.kubernetes.api.paths import EVENTS, PODS
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.job_facts import JobFacts
from airflow_runai.core.kubernetes.objects import word

#: Labels by which a pod names its workload. Not owners: a pod that was let go has none any more.
OF_JOB, OF_JOBSET = "batch.kubernetes.io/controller-uid", "jobset.sigs.k8s.io/jobset-uid"
_ENDED = ("Succeeded", "Failed")
#: How the names of pods go on that the controllers of Jobs and JobSets make.
_POD_ENDINGS = {"Job": r"(-\d+)?-[a-z0-9]{5}", "JobSet": r"-.+-\d+-\d+-[a-z0-9]{5}"}

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


def preemptions(namespace: str, training: JobFacts, seen: Container[str]) -> Flow[list[Object]]:
    """
    Return the events by which the kube-scheduler says that it takes pods of a training away.

    :param seen: names of pods that are known to be the training's.
    """
    selector = [("fieldSelector", "involvedObject.kind=Pod,reason=Preempted")]
    found, _ = yield from read_objects(EVENTS.collection(namespace), selector)
    # An event does not say whose pod it is about, and nobody may have seen it.
    own = re.compile(re.escape(training.name) + _POD_ENDINGS.get(training.kind, ""))
    names = ((word(one, "involvedObject", "name"), one) for one in found)
    return [one for name, one in names if name in seen or own.fullmatch(name)]


def _phase(pod: Object) -> object:
    status = pod.get("status")
    return status.get("phase") if isinstance(status, Mapping) else None

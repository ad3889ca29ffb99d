"""Stopping and resuming what Kueue queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.backends.kubernetes.api import writes
from airflow_runai.backends.kubernetes.api.lists import read_objects
from airflow_runai.backends.kubernetes.api.objects import meta
from airflow_runai.backends.kubernetes.api.paths import ResourceKind
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.objects import at
from airflow_runai.core.kubernetes.queue_facts import JOB_UID


def hold_back(kind: ResourceKind, namespace: str, uid: str, wanted: bool) -> Flow[None]:
    """
    Let Kueue stop or admit a training: it would undo at once what others do to the object.

    :param kind: of Workloads, in the version that is served.
    :param uid: of the Job or JobSet.
    :param wanted: whether it is held back.
    """
    selector = [("labelSelector", f"{JOB_UID}={uid}")]
    queued, _ = yield from read_objects(kind.collection(namespace), selector)

    def decide(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
        is_so = (at(found, "spec", "active") is False) == wanted
        return None if is_so else {"spec": {"active": not wanted}}

    for one in queued:
        path = kind.object(namespace, meta(one, "name"))
        yield from writes.change(path, meta(one, "uid"), decide)

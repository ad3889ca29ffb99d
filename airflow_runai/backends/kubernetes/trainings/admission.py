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
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotQueued


def hold_back(kind: ResourceKind, training: Workload, wanted: bool) -> Flow[None]:
    """
    Let Kueue stop or admit a training: it would undo at once what others do to the object.

    :param kind: of Workloads, in the version that is served.
    :param wanted: whether it is held back.
    :raises NotQueued: if Kueue has no Workload for it yet; without one, nothing is held back.
    """
    namespace = training.project_id
    selector = [("labelSelector", f"{JOB_UID}={training.id}")]
    queued, _ = yield from read_objects(kind.collection(namespace), selector)
    if wanted and not queued:
        raise NotQueued(
            f"{training.name}: Kueue has no Workload for it yet, so nothing is suspended, and it "
            "starts when Kueue makes one and admits it; check that Kueue runs, or delete it"
        )

    def decide(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
        is_so = (at(found, "spec", "active") is False) == wanted
        return None if is_so else {"spec": {"active": not wanted}}

    for one in queued:
        path = kind.object(namespace, meta(one, "name"))
        yield from writes.change(path, meta(one, "uid"), decide)

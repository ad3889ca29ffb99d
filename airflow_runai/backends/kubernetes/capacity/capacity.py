"""What a project may and can have on a Kubernetes cluster: from queues, pods and nodes."""

# ruff: noqa: D102 - `core/backend.py` says what a method means
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.backends.kubernetes.api.rights import missing, missing_for_good, sentence
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.kubernetes.capacity import node_gpus
from airflow_runai.backends.kubernetes.capacity.prospects import prospects
from airflow_runai.backends.kubernetes.capacity.queues import bounds_of, held_in_all
from airflow_runai.backends.kubernetes.capacity.room import if_told, in_namespace, room
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.least_rights import TRIGGERER, WORKER, rights_of
from airflow_runai.core.backend import Capacity
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.kubernetes.objects import word
from airflow_runai.core.project import Cluster, Project
from airflow_runai.core.quota import ProjectLimits
from airflow_runai.core.reasons import Reason
from airflow_runai.core.room import NO_BOUNDS, ProjectRoom
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.task_purpose import TaskPurpose
from airflow_runai.errors import Refused, RightMissing


def server_version() -> Flow[str]:
    """Ask the API server for its version, which everybody may; that it answers is known then."""
    request = Request("GET", "/version")
    return word(accept(request, (yield request)), "gitVersion")


class KubernetesCapacity(Capacity):
    """A Kubernetes cluster. Its methods mean what :class:`Capacity` says."""

    def __init__(self, cluster: KnownCluster) -> None:
        self._cluster = cluster

    def clusters(self) -> Flow[list[Cluster]]:
        # What it serves is told only to those who have logged in; its version to all.
        yield from self._cluster.discovery()
        name, version = self._cluster.settings.cluster, (yield from server_version())
        return [Cluster(name, name, version, "Connected")]

    def policy(self, project: Project, kind: str) -> Flow[Mapping[str, Any]]:
        yield from ()
        return {}

    def lacking_rights(self, project: Project, task: TaskPurpose | None = None) -> Flow[str]:
        dialect = yield from self._cluster.dialect()
        # In a cluster, the triggerer is somebody else, of whom the worker knows nothing.
        is_shared = not self._cluster.settings.in_cluster and (task is None or task.deferred)
        who = (WORKER, TRIGGERER) if is_shared else (WORKER,)
        served = yield from self._cluster.discovery()
        rights = [one for one in rights_of(dialect.name, who, task) if served.version_of(one.kind)]
        if task is None:
            lacking = yield from missing(project.id, rights)
        else:
            lacking = yield from missing_for_good(project.id, rights)
            if needed := [right for right in lacking if right.needed]:
                raise RightMissing(sentence(project.id, needed), 403)
        return sentence(project.id, lacking) if lacking else ""

    def limits(self, project: Project) -> Flow[ProjectLimits]:
        bounds = yield from bounds_of(self._cluster, project)
        # Nothing but the training's own fields ends it here after a time.
        return ProjectLimits(bounds.quota if bounds else NO_BOUNDS, {})

    def gpus_in_use(self, project: Project) -> Flow[float]:
        try:
            bounds = yield from bounds_of(self._cluster, project)
        except Refused:
            bounds = None
        if bounds and bounds.held is not None:
            return bounds.held
        return (yield from in_namespace(self._cluster, project)).held()

    def gpus_of_nodes(self, cluster_id: str) -> Flow[tuple[float, float]]:
        found = yield from node_gpus.nodes()
        held = yield from if_told(held_in_all(self._cluster))
        return node_gpus.total(found), (yield from node_gpus.free(found, held))

    def room(
        self, project: Project, node_pool: str | None = None, ended_within: float = 0.0
    ) -> Flow[ProjectRoom]:
        return room(self._cluster, project, node_pool, ended_within)

    def prospects(self, project: Project, spec: WorkloadSpec) -> Flow[tuple[Reason, ...]]:
        return prospects(self._cluster, project, spec)

"""Run:ai, through its control plane: the calls of this package's other modules as one backend."""

# ruff: noqa: D102 - `core/backend.py` says what a method means
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.backends import (
    capacity,
    control_plane,
    explanation,
    inventory,
    measurements,
    organization,
    pods,
    project_room,
    prospects,
)
from airflow_runai.backends.cluster_api import Clusters, status
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.workload_logs import WorkloadLog
from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Flow
from airflow_runai.core.log_reader import LogReader
from airflow_runai.core.orphans import Owned
from airflow_runai.core.project import Cluster, Project
from airflow_runai.core.quota import ProjectLimits
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.reasons import Reason
from airflow_runai.core.room import ProjectRoom
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import Numbered
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.task_purpose import TaskPurpose
from airflow_runai.core.usage import Sample
from airflow_runai.core.workload import Workload


class RunaiBackend(Backend):
    """Run:ai. Its methods mean what :class:`Backend` says."""

    def __init__(self, settings: Settings) -> None:
        self._clusters = Clusters(settings)

    def find_project(self, name: str, cluster: str | None = None) -> Flow[Project]:
        return organization.find_project(name, cluster)

    def find(
        self, project: Project, name: str, *, exact: bool = False, deleted: bool = False
    ) -> Flow[list[Workload]]:
        return control_plane.find(project, name, exact=exact, deleted=deleted)

    def find_generations(
        self, project: Project, digest: str, *, deleted: bool = False
    ) -> Flow[list[Numbered]]:
        return control_plane.find_generations(project, digest, deleted=deleted)

    def resolve(self, project: Project, name_or_id: str) -> Flow[Workload]:
        return control_plane.resolve(project, name_or_id)

    def inventory(
        self,
        instance: str,
        project: str | None = None,
        cluster: str | None = None,
        *,
        digest: str = "",
        ended: bool = False,
    ) -> Flow[list[Owned]]:
        return inventory.inventory(instance, project, cluster, digest=digest, ended=ended)

    def create(self, project: Project, request: SubmissionRequest) -> Flow[Workload]:
        return control_plane.create(project, request.spec.kind, request.name, request.body())

    def rehearse(
        self, project: Project, request: SubmissionRequest
    ) -> Flow[tuple[str, ...] | None]:
        yield from ()
        return None

    def reader(self, start: Workload) -> WorkloadReader:
        return control_plane.ControlPlaneReader(start)

    def get_spec(self, workload: Workload) -> Flow[Mapping[str, Any]]:
        return control_plane.get_spec(workload)

    def standing_pods(self, workload: Workload) -> Flow[int]:
        return control_plane.standing_pods(workload.id)

    def suspend(self, workload: Workload) -> Flow[None]:
        return control_plane.suspend(workload)

    def resume(self, workload: Workload) -> Flow[None]:
        return control_plane.resume(workload)

    def delete(self, workload: Workload) -> Flow[None]:
        return control_plane.delete(workload)

    def clusters(self) -> Flow[list[Cluster]]:
        return organization.list_clusters()

    def policy(self, project: Project, kind: str) -> Flow[Mapping[str, Any]]:
        return capacity.effective_policy(project, kind)

    def lacking_rights(self, project: Project, task: TaskPurpose | None = None) -> Flow[str]:
        yield from ()
        return ""

    def limits(self, project: Project) -> Flow[ProjectLimits]:
        return capacity.project_limits(project)

    def gpus_in_use(self, project: Project) -> Flow[float]:
        return capacity.gpus_in_use(project)

    def gpus_of_nodes(self, cluster_id: str) -> Flow[tuple[float, float]]:
        total = yield from capacity.gpus_of_nodes(cluster_id, "TOTAL_GPUS")
        return total, (yield from capacity.gpus_of_nodes(cluster_id, "FREE_GPUS"))

    def room(
        self, project: Project, node_pool: str | None = None, ended_within: float = 0.0
    ) -> Flow[ProjectRoom]:
        return project_room.room(project, node_pool, ended_within)

    def prospects(self, project: Project, spec: WorkloadSpec) -> Flow[tuple[Reason, ...]]:
        return prospects.prospects(project, spec)

    def explain(self, workload: Workload, since: float = 0.0) -> Flow[tuple[Reason, ...]]:
        return explanation.explain(workload.id, workload.phase, since)

    def pods(self, workload: Workload, *, gone: bool = False) -> Flow[list[Mapping[str, Any]]]:
        return pods.pods_ever(workload.id) if gone else pods.pods_now(workload.id)

    def gpu_utilization(
        self, workload: Workload, start: float, end: float
    ) -> Flow[tuple[Sample, ...]]:
        return measurements.gpu_utilization(workload.id, start, end)

    def log(self, workload: Workload) -> LogReader:
        return WorkloadLog(workload, self._clusters)

    def log_server(self, cluster_id: str) -> Flow[str]:
        yield from status(self._clusters, cluster_id)
        return (yield from self._clusters.address(cluster_id))

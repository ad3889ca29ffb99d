"""
The emulated tenant: clusters, departments, projects, node pools, nodes and workloads.

It stores and finds them; it decides nothing and knows no wire format.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.scheduler import Queue
from airflow_runai.emulator.settings import EmulatorSettings, ProjectQuota

TENANT_ID = 1001
_NAMESPACE = uuid.UUID("6f3b0f0e-8a0c-4e43-9a55-3c1d1f5b7a10")


@dataclass(frozen=True)
class EmulatedCluster:
    """A cluster and its nodes: name to number of GPUs."""

    id: str
    name: str
    nodes: Mapping[str, int]


@dataclass(frozen=True)
class EmulatedProject:
    """A project of one cluster, and the GPUs it may use."""

    id: str
    name: str
    cluster_id: str
    queue: Queue

    @property
    def quota(self) -> float:
        """Guaranteed GPUs."""
        return self.queue.deserved

    @property
    def namespace(self) -> str:
        """Its Kubernetes namespace."""
        return f"runai-{self.name}"


class World:
    """
    The tenant.

    Ids of clusters and projects follow from their names and order, so that they survive a restart.
    """

    def __init__(self, settings: EmulatorSettings, created_at: float) -> None:
        self.created_at = created_at
        self.clusters = [
            _cluster(name, settings, first=not i) for i, name in enumerate(settings.clusters)
        ]
        by_name = {cluster.name: cluster.id for cluster in self.clusters}
        self.projects = [
            EmulatedProject(
                str(4501 + number), project.name, by_name[project.cluster], _queue(project)
            )
            for number, project in enumerate(settings.project_quotas)
        ]
        self.workloads: dict[str, EmulatedWorkload] = {}
        # Only the newest of a name can be alive.
        self._by_name: dict[tuple[str, str], str] = {}
        self._last_created = 0.0

    def cluster(self, cluster_id: str) -> EmulatedCluster | None:
        """Find a cluster by id."""
        return next((cluster for cluster in self.clusters if cluster.id == cluster_id), None)

    def project(self, project_id: str) -> EmulatedProject | None:
        """Find a project by id."""
        return next((project for project in self.projects if project.id == project_id), None)

    def project_of(self, workload: EmulatedWorkload) -> EmulatedProject:
        """Return the project of a workload; one that is no longer configured has no quota."""
        name = workload.project_id
        return self.project(name) or EmulatedProject(
            name, name, workload.cluster_id, Queue(name, 0.0)
        )

    def department_id(self, cluster_id: str) -> str:
        """Return the id of the cluster's only department, ``default``."""
        return str(4 + [cluster.id for cluster in self.clusters].index(cluster_id))

    def live(self, workload_id: str) -> EmulatedWorkload | None:
        """Find a workload that is not deleted."""
        workload = self.workloads.get(workload_id)
        return workload if workload is not None and workload.deleted_at is None else None

    def named(self, name: str, project_id: str) -> EmulatedWorkload | None:
        """Find a workload that is not deleted by its name in a project."""
        workload_id = self._by_name.get((name, project_id), "")
        return self.live(workload_id)

    def listed(self, deleted: bool = False) -> Iterable[EmulatedWorkload]:
        """List workloads in the order of their creation: the live ones, or the deleted ones."""
        return [w for w in self.workloads.values() if (w.deleted_at is not None) == deleted]

    def add(self, fields: Mapping[str, Any], now: float) -> EmulatedWorkload:
        """
        Create a workload from admitted fields.

        No two are created at the same instant: a stepped clock stands still, and age must still
        decide which goes first.
        """
        # A millisecond is the finest instant that the wire shows.
        created_at = max(now, self._last_created + 0.001)
        self._last_created = created_at
        workload = EmulatedWorkload(
            id=str(uuid.uuid4()),
            created_at=created_at,
            phase_at=now,
            **fields,
        )
        self.keep(workload)
        return workload

    def keep(self, workload: EmulatedWorkload) -> None:
        """Take in a workload, new or stored; the oldest must come first."""
        self.workloads[workload.id] = workload
        self._by_name[workload.name, workload.project_id] = workload.id


def _queue(project: ProjectQuota) -> Queue:
    return Queue(project.name, project.quota, project.limit, project.weight)


def _cluster(name: str, settings: EmulatorSettings, first: bool) -> EmulatedCluster:
    # Names of nodes are unique over all clusters; the usual single cluster gets the short ones.
    prefix = "node" if first else f"{name}-node"
    nodes = {f"{prefix}-{number + 1}": settings.gpus_per_node for number in range(settings.nodes)}
    return EmulatedCluster(str(uuid.uuid5(_NAMESPACE, name)), name, nodes)

"""
Read-only endpoints about the tenant.

Clusters, projects, departments, node pools, workload types and priorities.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from airflow_runai.emulator.clock import iso
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.filters import Items, filtered, filtered_and_ordered, paged, parsed
from airflow_runai.emulator.records import OLD_PRIORITIES, PRIORITIES
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply, JsonObject
from airflow_runai.emulator.scheduler import Queue
from airflow_runai.emulator.world import TENANT_ID, EmulatedCluster, EmulatedProject

_DEPARTMENT_FIELDS = {
    "name": "name",
    "clusterId": "clusterId",
    "createdAt": "createdAt",
    "totalGpuQuota": "totalResources.gpuQuota",
    # Nothing is measured: what is sorted or filtered by these has no value.
    "gpuAllocated": "gpuAllocated",
    **{
        f"avg{what}{span}": f"avg{what}{span}"
        for what in ("GpuAllocation", "GpuUtilization", "GpuMemoryUtilization")
        for span in ("24h", "7d", "30d")
    },
}
_PROJECT_FIELDS = _DEPARTMENT_FIELDS | {
    "departmentId": "departmentId",
    "parentId": "parentId",
    "parentName": "parent.name",
    "phase": "status.phase",
}
_POOL_FIELDS = {
    name: name
    for name in (
        "name",
        "clusterId",
        "phase",
        "createdAt",
        "updatedAt",
        "networkTopologyName",
        "gpuNetworkAccelerationDetection",
        "gpuNetworkAccelerationDetected",
        "gpuNetworkAccelerationLabelKey",
        "swapEnabled",
        "nodeLevelSchedulerEnabled",
    )
}
#: The group of Run:ai's own kinds in Kubernetes.
_GROUP = "run.ai"
_NAMES = uuid.UUID("5d8b7a2e-93cf-4a55-8f0e-0d6c3a1b9e42")


def clusters(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/clusters``: a bare list."""
    return ApiReply([_cluster(plane, call, cluster) for cluster in plane.world.clusters])


def projects(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/org-unit/projects``."""
    items = [_project(plane, project) for project in plane.world.projects]
    return _listed(plane, call, items, "projects", _PROJECT_FIELDS)


def project(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/org-unit/projects/{id}``."""
    unit = plane.world.project(call.params["id"])
    if unit is None:
        raise ApiError(404, f"project {call.params['id']} not found")
    return ApiReply(_project(plane, unit))


def departments(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/org-unit/departments``."""
    items = [_department(plane, cluster) for cluster in plane.world.clusters]
    return _listed(plane, call, items, "departments", _DEPARTMENT_FIELDS)


def node_pools(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/node-pools``."""
    items = [_node_pool(plane, cluster) for cluster in plane.world.clusters]
    return _listed(plane, call, items, "nodepools", _POOL_FIELDS)


def workload_types(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workload-types``; from 2.22 on."""
    _since(plane, (2, 22))
    types = [
        {
            "id": _id("type", name),
            "name": name,
            "group": _GROUP,
            "categoryId": _id("category", "Train"),
            "categoryName": "Train",
            "priorityId": _id("priority", "low"),
            "priorityName": "low",
        }
        for name in ("Training", "Distributed")
    ]
    filters = parsed(call.query.get("filterBy"), {"name": "name", "group": "group"})
    return ApiReply({"types": filtered(types, filters)})


def workload_priorities(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workload-priorities``; from 2.22 on, no paging."""
    _since(plane, (2, 22))
    current = [name for name in PRIORITIES if name not in OLD_PRIORITIES]
    listed = [
        {
            "id": _id("priority", name),
            "name": name,
            "value": PRIORITIES[name],
        }
        for name in current
    ]
    return ApiReply({"priorities": listed})


def _id(what: str, name: str) -> str:
    """Return an id that survives a restart."""
    return str(uuid.uuid5(_NAMES, f"{what}/{name}"))


def _since(plane: ControlPlane, version: tuple[int, int]) -> None:
    if plane.settings.version < version:
        raise ApiError(404, "not found")


def _listed(
    plane: ControlPlane,
    call: ApiCall,
    items: Items,
    key: str,
    fields: Mapping[str, str],
) -> ApiReply:
    items = filtered_and_ordered(items, call, fields)
    return paged(items, call, key, plane.settings.strict_limit)


def _cluster(plane: ControlPlane, call: ApiCall, cluster: EmulatedCluster) -> JsonObject:
    return {
        "uuid": cluster.id,
        "tenantId": TENANT_ID,
        "name": cluster.name,
        # Its Cluster API is served here, too; see ``routes_cluster.py``.
        "domain": call.address,
        "version": f"{plane.settings.control_plane_version}.0",
        "status": {"state": "Connected"},
        "createdAt": iso(plane.world.created_at),
        "updatedAt": iso(plane.clock.now()),
        "lastLiveness": iso(plane.clock.now()),
        "deletedAt": None,
    }


def _unit(
    plane: ControlPlane,
    unit_id: str,
    cluster_id: str,
    queue: Queue,
) -> JsonObject:
    """Write the fields that projects and departments have in common."""
    # To the vendor, -1 means no limit.
    limit = -1 if queue.limit is None else queue.limit
    gpu = {
        "deserved": queue.deserved,
        "limit": limit,
        "overQuotaWeight": queue.weight,
    }
    pool = {
        "id": "1",
        "name": "default",
    }
    return {
        "id": unit_id,
        "name": queue.name,
        "clusterId": cluster_id,
        "tenantId": TENANT_ID,
        "description": "",
        "createdAt": iso(plane.world.created_at),
        "updatedAt": iso(plane.world.created_at),
        "createdBy": "emulator",
        "updatedBy": "emulator",
        "resources": [
            {
                "nodePool": pool,
                "gpu": gpu,
                "cpu": None,
                "memory": None,
                "priority": "Normal",
            }
        ],
        "totalResources": {"gpuQuota": queue.deserved},
        "defaultNodePools": ["default"],
        "schedulingRules": {},
    }


def _project(plane: ControlPlane, project: EmulatedProject) -> JsonObject:
    department = plane.world.department_id(project.cluster_id)
    unit = _unit(plane, project.id, project.cluster_id, project.queue)
    # To the vendor, a department is a number as such, and a UUID as a parent.
    parent = {
        "id": _id("department", department),
        "name": "default",
    }
    status = {
        "namespace": project.namespace,
        "phase": "Ready",
        "phaseMessage": "",
    }
    return unit | {
        "enforceRunaiScheduler": False,
        "departmentId": department,
        "parentId": parent["id"],
        "parent": parent,
        "status": status,
        "effective": {
            "schedulingRules": {},
            "defaultNodePools": ["default"],
        },
    }


def _department(plane: ControlPlane, cluster: EmulatedCluster) -> JsonObject:
    mine = [project for project in plane.world.projects if project.cluster_id == cluster.id]
    quota = sum(project.quota for project in mine)
    unit = _unit(plane, plane.world.department_id(cluster.id), cluster.id, Queue("default", quota))
    children = [
        {
            "id": project.id,
            "name": project.name,
            "type": "project",
        }
        for project in mine
    ]
    return unit | {
        "parentId": str(TENANT_ID),
        "status": {"phase": "Ready"},
        "projectsChildren": children,
    }


def _node_pool(plane: ControlPlane, cluster: EmulatedCluster) -> JsonObject:
    return {
        "id": "1",
        "name": "default",
        "tenantId": TENANT_ID,
        "clusterId": cluster.id,
        "clusterName": cluster.name,
        "labelKey": "run.ai/node-pool",
        "labelValue": "default",
        "isDefault": True,
        "phase": "Ready",
        "phaseMessage": "",
        "createdBy": "emulator",
        "updatedBy": "emulator",
        "createdAt": iso(plane.world.created_at),
        "updatedAt": iso(plane.world.created_at),
        "nodes": list(cluster.nodes),
    }

"""Read-only endpoints about limits: the policies of a project, and the GPUs of the nodes."""

from __future__ import annotations

import uuid

from airflow_runai.emulator.clock import iso
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply, JsonObject
from airflow_runai.emulator.world import TENANT_ID

_SCOPES = (
    "system",
    "tenant",
    "cluster",
    "department",
    "project",
)


def policy(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """
    ``GET /api/v2/policy/{trainings|distributed}?scope=project&projectId=``.

    The only rule is ``policy_max_gpus``.
    """
    scope = call.query.get("scope", "")
    project_id = call.query.get("projectId")
    if scope not in _SCOPES:
        raise ApiError(400, "scope is required", "scope")
    if scope == "project" and plane.world.project(project_id or "") is None:
        raise ApiError(404, f"project {project_id} not found")
    content = _policy(plane.settings.policy_max_gpus, call.params["kind"] == "distributed")
    return ApiReply(
        {
            "meta": _meta(plane, scope),
            "policy": content,
            "effective": content,
        }
    )


def _policy(max_gpus: int | None, distributed: bool) -> JsonObject:
    rules: JsonObject = {}
    if max_gpus is not None:
        rules = {"compute": {"gpuDevicesRequest": {"max": max_gpus}}}
    if not distributed:
        return {
            "defaults": {},
            "rules": rules,
            "imposedAssets": [],
        }
    assets: JsonObject = {
        "worker": [],
        "master": [],
    }
    return {
        "defaults": {},
        "rules": {"worker": rules},
        "imposedAssets": assets,
    }


def _meta(plane: ControlPlane, scope: str) -> JsonObject:
    created_at = iso(plane.world.created_at)
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"policy of the {scope}")),
        "tenantId": TENANT_ID,
        "name": "emulated",
        "scope": scope,
        "createdBy": "emulator",
        "updatedBy": "emulator",
        "createdAt": created_at,
        "updatedAt": created_at,
    }


def nodes_telemetry(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """
    ``GET /api/v1/nodes/telemetry?telemetryType=&clusterId=&nodepoolName=``.

    All nodes are in the pool ``default``.
    """
    measures = _measures(plane, call.query.get("clusterId"))
    if call.query.get("nodepoolName", "default") != "default":
        measures = dict.fromkeys(measures, 0.0)
    name = call.query.get("telemetryType", "")
    if name not in measures:
        message = f"telemetryType {name!r} is none of {', '.join(measures)}"
        raise ApiError(400, message, "telemetryType")
    values = [
        {
            "value": f"{measures[name]:g}",
            "groups": [],
        }
    ]
    return ApiReply(
        {
            "type": name,
            "timestamp": iso(plane.clock.now()),
            "values": values,
        }
    )


def _measures(plane: ControlPlane, cluster_id: str | None) -> dict[str, float]:
    clusters = [one for one in plane.world.clusters if cluster_id in (None, one.id)]
    total = float(sum(sum(cluster.nodes.values()) for cluster in clusters))
    nodes = {name for cluster in clusters for name, gpus in cluster.nodes.items() if gpus}
    ids = {cluster.id for cluster in clusters}
    workloads = [one for one in plane.world.workloads.values() if one.cluster_id in ids]
    held = float(sum(one.held_gpus for one in workloads))
    in_use = {pod.node for one in workloads for pod in one.live_pods if pod.gpus}
    return {
        "TOTAL_GPU_NODES": float(len(nodes)),
        "READY_GPU_NODES": float(len(nodes)),
        "FULLY_FREE_GPU_NODES": float(len(nodes - in_use)),
        "TOTAL_GPUS": total,
        "READY_GPUS": total,
        "ALLOCATED_GPUS": held,
        "FREE_GPUS": total - held,
    }

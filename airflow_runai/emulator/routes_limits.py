"""
Endpoints about what may and can be had: the policies of a project, and the GPUs of the nodes.

They only read.
"""

from __future__ import annotations

from typing import Any

from airflow_runai.emulator.clock import iso
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply
from airflow_runai.emulator.world import TENANT_ID


def policy(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v2/policy/{trainings|distributed}?scope=project&projectId=``; its only rule is ``policy_max_gpus``."""
    if call.query.get("scope") not in ("system", "tenant", "cluster", "department", "project"):
        raise ApiError(400, "scope is required", "scope")
    found = plane.world.project(call.query.get("projectId", ""))
    if call.query["scope"] == "project" and found is None:
        raise ApiError(404, f"project {call.query.get('projectId')} not found")
    most = plane.settings.policy_max_gpus
    rules = {"compute": {"gpuDevicesRequest": {"max": most}}} if most is not None else {}
    content: dict[str, Any] = {"defaults": {}, "rules": rules, "imposedAssets": []}
    if call.params["kind"] == "distributed":
        content = {
            "defaults": {},
            "rules": {"worker": rules},
            "imposedAssets": {"worker": [], "master": []},
        }
    return ApiReply(
        {"meta": _meta(plane, call.query["scope"]), "policy": content, "effective": content}
    )


def _meta(plane: ControlPlane, scope: str) -> dict[str, Any]:
    made = {"createdBy": "emulator", "updatedBy": "emulator"}
    at = dict.fromkeys(("createdAt", "updatedAt"), iso(plane.world.created_at))
    return {"id": "1", "tenantId": TENANT_ID, "name": "emulated", "scope": scope, **made, **at}


def nodes_telemetry(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/nodes/telemetry?telemetryType=&clusterId=``."""
    clusters = [
        one for one in plane.world.clusters if call.query.get("clusterId") in (None, one.id)
    ]
    total = float(sum(sum(cluster.nodes.values()) for cluster in clusters))
    ids = {cluster.id for cluster in clusters}
    pods = (
        pod
        for one in plane.world.workloads.values()
        if one.cluster_id in ids
        for pod in one.live_pods
    )
    held = float(sum(pod.share * len(pod.gpus) for pod in pods))
    known = {
        "TOTAL_GPUS": total,
        "READY_GPUS": total,
        "ALLOCATED_GPUS": held,
        "FREE_GPUS": total - held,
    }
    what = call.query.get("telemetryType", "")
    if what not in known:
        raise ApiError(
            400, f"telemetryType {what!r} is none of {', '.join(known)}", "telemetryType"
        )
    values = [{"value": f"{known[what]:g}", "groups": []}]
    return ApiReply({"type": what, "timestamp": iso(plane.clock.now()), "values": values})

"""Endpoints that only look: the generic list and count, one workload, its history, events, pods and metrics."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

from airflow_runai.emulator import lifecycle
from airflow_runai.emulator.clock import iso
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.filters import Items, filtered, ordered, page
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply

# Name in filterBy and sortBy: where it is in a list item, and the control plane that first knew it.
_FIELDS = {
    **{
        name: (name, (2, 18))
        for name in ("type", "name", "clusterId", "projectId", "projectName", "departmentId")
    },
    **{
        name: (name, (2, 18))
        for name in ("departmentName", "createdAt", "deletedAt", "submittedBy", "phase")
    },
    **{name: (name, (2, 18)) for name in ("completedAt", "distributedFramework")},
    "nodepool": ("currentNodePools", (2, 18)),
    "allocatedGPU": ("allocatedResources.gpu", (2, 18)),
    "idleGpus": ("idleGpus", (2, 20)),
    "idleAllocatedGpus": ("idleAllocatedGpus", (2, 20)),
    "phaseUpdatedAt": ("phaseUpdatedAt", (2, 21)),
    "category": ("category", (2, 22)),
    "priority": ("priority", (2, 22)),
    "priorityClassName": ("priorityClassName", (2, 23)),
    "totalPendingTimeSeconds": ("totalPendingTimeSeconds", (2, 23)),
    "totalRunningTimeSeconds": ("totalRunningTimeSeconds", (2, 23)),
    "guaranteedRuntimeEndsAt": ("guaranteedRuntimeEndsAt", (2, 23)),
}
_POD_FIELDS = {
    name: name
    for name in (
        "name",
        "id",
        "workloadId",
        "workloadName",
        "projectId",
        "projectName",
        "clusterId",
        "nodeName",
    )
} | {"k8sPhase": "k8sPhase", "createdAt": "createdAt", "completedAt": "completedAt"}


def workloads(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads``."""
    items = _selected(plane, call)
    fields = _fields(plane)
    items = ordered(items, call.query.get("sortBy"), call.query.get("sortOrder"), fields)
    return _paged(plane, call, items, "workloads")


def count(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/count``."""
    return ApiReply({"count": len(_selected(plane, call))})


def workload(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}``."""
    return ApiReply(plane.wire.detailed(_found(plane, call), plane.clock.now()))


def history(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}/history``, newest first."""
    found = _found(plane, call)
    records = [plane.wire.history(found, record) for record in reversed(found.history)]
    return _paged(plane, call, records, "records")


def events(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}/events``, newest first."""
    found = _found(plane, call)
    listed = [plane.wire.event(found, record) for record in reversed(found.history) if record.event]
    if call.query.get("sortOrder") == "asc":
        listed.reverse()
    return _paged(plane, call, listed, "events")


def workload_pods(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}/pods``."""
    return _paged(plane, call, _pods(plane, call, [_found(plane, call)]), "pods")


def pods(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/pods``."""
    return _paged(plane, call, _pods(plane, call, list(plane.world.workloads.values())), "pods")


def metrics(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}/metrics``: 207 when some of the metrics asked for are not to be had."""
    found = _found(plane, call)
    asked = [name for name in call.query.get("metricType", "").split(",") if name]
    if not asked:
        raise ApiError(400, "metricType is required", "metricType")
    now = plane.clock.now()
    live = found.live_pods
    known = {
        "GPU_UTILIZATION": 90 if live else 0,
        "GPU_ALLOCATION": sum(pod.share * len(pod.gpus) for pod in live),
        "POD_COUNT": len(live),
        "RUNNING_POD_COUNT": sum(pod.phase == "Running" for pod in live),
    }
    measured = [
        {
            "type": name,
            "labels": {},
            "values": [{"value": f"{known[name]:g}", "timestamp": iso(now)}],
        }
        for name in asked
        if name in known
    ]
    return ApiReply({"measurements": measured}, 200 if len(measured) == len(asked) else 207)


def _fields(plane: ControlPlane) -> dict[str, str]:
    return {
        name: where for name, (where, since) in _FIELDS.items() if plane.settings.version >= since
    }


def _selected(plane: ControlPlane, call: ApiCall) -> Items:
    """Pick the workloads of a list; a stale list is the one of ``staleness`` seconds ago, ``hidden`` a pattern."""
    now = plane.clock.now()
    lag = float(call.params.get("staleness", 0))
    then, deleted = (now - lag if lag else math.inf), call.query.get("deleted") == "true"
    found = [
        one
        for one in plane.world.workloads.values()
        if one.created_at <= then
        and (one.deleted_at is not None and one.deleted_at <= then) == deleted
    ]
    shown = [one for one in found if not fnmatchcase(one.name, call.params.get("hidden", ""))]
    items = [
        plane.wire.item(one, now) if deleted else _as_of(plane, one, now, lag) for one in shown
    ]
    if call.query.get("search"):
        items = [item for item in items if call.query["search"].lower() in item["name"].lower()]
    return filtered(items, call.query.get("filterBy"), _fields(plane))


def _as_of(plane: ControlPlane, one: EmulatedWorkload, now: float, lag: float) -> dict[str, Any]:
    item = plane.wire.item(one, now)
    then = lifecycle.phase_at(one, now - lag) if lag else None
    if then is not None:
        item |= {
            "phase": then.phase,
            "phaseMessage": then.message,
            "phaseUpdatedAt": iso(then.at),
            "deletedAt": None,
        }
    return item


def _pods(plane: ControlPlane, call: ApiCall, found: list[EmulatedWorkload]) -> Items:
    """Pick pods that are not deleted, or only the deleted ones; ``completed`` may be all, true or false."""
    deleted = call.query.get("deleted") == "true"
    wanted = {"true": (True,), "false": (False,)}.get(
        call.query.get("completed", ""), (True, False)
    )
    items = [
        plane.wire.pod(one, pod)
        for one in found
        for pod in one.pods
        if (pod.deleted_at is not None) == deleted and (pod.completed_at is not None) in wanted
    ]
    items = filtered(items, call.query.get("filterBy"), _POD_FIELDS)
    return ordered(items, call.query.get("sortBy"), call.query.get("sortOrder"), _POD_FIELDS)


def _paged(plane: ControlPlane, call: ApiCall, items: Items, key: str) -> ApiReply:
    shown, following = page(items, call.query, plane.settings.strict_limit)
    return ApiReply({key: shown} if following is None else {key: shown, "next": following})


def _found(plane: ControlPlane, call: ApiCall) -> EmulatedWorkload:
    found = plane.world.live(call.params["id"])
    if found is None:
        raise ApiError(404, f"workload {call.params['id']} not found")
    return found

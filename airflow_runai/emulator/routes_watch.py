"""
Read-only endpoints about workloads.

The generic list and count, one workload, its history, events, pods and metrics.
"""

from __future__ import annotations

import math
from datetime import datetime
from fnmatch import fnmatchcase

from airflow_runai.emulator import lifecycle
from airflow_runai.emulator.clock import iso
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.filters import Filter, Items, filtered, ordered, paged, parsed
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply, JsonObject

MAX_SAMPLES = 1000
_FIRST_FIELDS = (
    "type",
    "name",
    "clusterId",
    "projectId",
    "projectName",
    "departmentId",
    "departmentName",
    "createdAt",
    "deletedAt",
    "submittedBy",
    "phase",
    "completedAt",
    "distributedFramework",
)
# Name in filterBy and sortBy: its path in a list item, and the first control plane that knew it.
_FIELDS = {name: (name, (2, 18)) for name in _FIRST_FIELDS} | {
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
    # Nothing here belongs to one.
    "aiApplicationId": ("aiApplicationId", (2, 23)),
    "aiApplicationName": ("aiApplicationName", (2, 23)),
}
_POD_FIELDS = {
    name: name
    for name in (
        "clusterId",
        "workloadId",
        "revisionId",
        "nodeName",
        "createdAt",
        "completedAt",
        "deletedAt",
    )
} | {"currentNodepool": "currentNodePool"}


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
    return ApiReply(plane.wire.detailed(_live_workload(plane, call), plane.clock.now()))


def history(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}/history``, newest first."""
    workload = _live_workload(plane, call)
    records = [plane.wire.history(workload, record) for record in reversed(workload.history)]
    return _paged(plane, call, records, "records")


def events(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}/events``, newest first."""
    workload = _live_workload(plane, call)
    listed = [
        plane.wire.event(workload, record) for record in reversed(workload.history) if record.event
    ]
    if call.query.get("sortOrder") == "asc":
        listed.reverse()
    return _paged(plane, call, listed, "events")


def workload_pods(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}/pods``."""
    return _paged(plane, call, _pods(plane, call, [_live_workload(plane, call)]), "pods")


def pods(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/pods``."""
    return _paged(plane, call, _pods(plane, call, list(plane.world.workloads.values())), "pods")


def metrics(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{id}/metrics``: 207 if some of the metrics are not available."""
    metrics = _metrics(plane, _live_workload(plane, call), call)
    names = [name for name in call.query.get("metricType", "").split(",") if name]
    if not names:
        raise ApiError(400, "metricType is required", "metricType")
    measurements = [
        {
            "type": name,
            "labels": {},
            "values": [
                {"value": f"{value:g}", "timestamp": iso(at)} for at, value in metrics[name]
            ],
        }
        for name in names
        if name in metrics
    ]
    status = 200 if len(measurements) == len(names) else 207
    return ApiReply({"measurements": measurements}, status)


def _metrics(
    plane: ControlPlane, workload: EmulatedWorkload, call: ApiCall
) -> dict[str, list[tuple[float, float]]]:
    """Return the present values; of the GPUs' utilization those of the times that are asked for."""
    live, now = workload.live_pods, plane.clock.now()
    present = {
        "GPU_ALLOCATION": workload.held_gpus,
        "POD_COUNT": len(live),
        "RUNNING_POD_COUNT": sum(pod.phase == "Running" for pod in live),
    }
    used = [(at, _utilization(workload, at)) for at in _sampled(call, now)]
    return {name: [(now, value)] for name, value in present.items()} | {"GPU_UTILIZATION": used}


def _sampled(call: ApiCall, now: float) -> list[float]:
    """Return evenly spread times, the last one the end; the present where none are asked for."""
    if "start" not in call.query:
        return [now]
    start, end = (_instant(call, name, now) for name in ("start", "end"))
    try:
        count = int(call.query.get("numberOfSamples", "20"))
    except ValueError:
        count = 0
    if not 1 <= count <= MAX_SAMPLES:
        raise ApiError(400, f"numberOfSamples must be 1 to {MAX_SAMPLES}", "numberOfSamples")
    return [end - (end - start) * back / count for back in reversed(range(count))]


def _instant(call: ApiCall, name: str, now: float) -> float:
    text = call.query.get(name)
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else now
    except ValueError:
        raise ApiError(400, f"{name} must be a date-time", name) from None


def _utilization(workload: EmulatedWorkload, at: float) -> float:
    """Return what a busy training would show, because nothing is measured."""
    phases = [record.phase for record in workload.history if record.phase and record.at <= at]
    return 90 if phases and phases[-1] == "Running" else 0


def _fields(plane: ControlPlane) -> dict[str, str]:
    version = plane.settings.version
    return {name: path for name, (path, since) in _FIELDS.items() if version >= since}


def _selected(plane: ControlPlane, call: ApiCall) -> Items:
    """
    Select the items of a list.

    Two faults show in the parameters: a stale list is the one of ``staleness`` seconds ago, and
    workloads whose name fits the pattern ``hidden`` are left out.
    """
    now = plane.clock.now()
    lag = float(call.params.get("staleness", 0))
    deleted = call.query.get("deleted") == "true"
    filters = parsed(call.query.get("filterBy"), _fields(plane))
    existing = _existing(plane, now - lag if lag else math.inf, deleted)
    shown = _with_right_name(existing, call, filters)
    if deleted:
        items = [plane.wire.item(one, now) for one in shown]
    else:
        items = [_as_of(plane, one, now, lag) for one in shown]
    return filtered(items, filters)


def _with_right_name(
    workloads: list[EmulatedWorkload], call: ApiCall, filters: list[Filter]
) -> list[EmulatedWorkload]:
    # Names are compared first: to write thousands of workloads out only to drop them is slow.
    on_names = [one for one in filters if one.path == "name"]
    hidden = call.params.get("hidden", "")
    search = call.query.get("search", "").lower()

    def is_right(name: str) -> bool:
        if fnmatchcase(name, hidden) or search not in name.lower():
            return False
        return all(one.accepts(name) for one in on_names)

    return [one for one in workloads if is_right(one.name)]


def _existing(plane: ControlPlane, then: float, deleted: bool) -> list[EmulatedWorkload]:
    """List the workloads that existed at an instant, or those that were deleted by then."""
    # A stale list knows neither what came later nor what has gone since.
    created = [one for one in plane.world.workloads.values() if one.created_at <= then]
    gone = {one.id for one in created if one.deleted_at is not None and one.deleted_at <= then}
    return [one for one in created if (one.id in gone) == deleted]


def _as_of(
    plane: ControlPlane,
    one: EmulatedWorkload,
    now: float,
    lag: float,
) -> JsonObject:
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


def _pods(plane: ControlPlane, call: ApiCall, owners: list[EmulatedWorkload]) -> Items:
    """Select pods by ``deleted`` (true or false) and ``completed`` (all, true or false)."""
    deleted = call.query.get("deleted") == "true"
    completed = {
        "true": True,
        "false": False,
    }.get(call.query.get("completed", ""))
    items = []
    for one in owners:
        for pod in one.pods:
            shown = completed is None or (pod.completed_at is not None) == completed
            if shown and (pod.deleted_at is not None) == deleted:
                items.append(plane.wire.pod(one, pod))
    items = filtered(items, parsed(call.query.get("filterBy"), _POD_FIELDS))
    return ordered(items, call.query.get("sortBy"), call.query.get("sortOrder"), _POD_FIELDS)


def _paged(
    plane: ControlPlane,
    call: ApiCall,
    items: Items,
    key: str,
) -> ApiReply:
    return paged(items, call, key, plane.settings.strict_limit)


def _live_workload(plane: ControlPlane, call: ApiCall) -> EmulatedWorkload:
    found = plane.world.workloads.get if "show_deleted" in call.params else plane.world.live
    workload = found(call.params["id"])
    if workload is None:
        raise ApiError(404, f"workload {call.params['id']} not found")
    return workload

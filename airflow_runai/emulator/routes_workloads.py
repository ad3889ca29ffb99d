"""Endpoints that change workloads: trainings, distributed trainings, and many at once."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase

from airflow_runai.emulator import phases
from airflow_runai.emulator.admission import admit
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply, JsonObject

_KINDS = {
    "trainings": "training",
    "distributed": "distributed",
}
_BATCH_LIMIT = 100


def create(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST /api/v1/workloads/{trainings|distributed}``."""
    kind = _KINDS[call.params["kind"]]
    # Refused before anything exists: a refused name stays free.
    fields = admit(call.body, kind, plane.world, plane.settings)
    workload = plane.world.add(fields, plane.clock.now())
    plane.engine.created(workload, plane.clock.now())
    plane.changed(workload)
    return ApiReply(
        plane.wire.training(workload), 202 if plane.settings.version >= (2, 21) else 200
    )


def read(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /api/v1/workloads/{trainings|distributed}/{id}``."""
    return ApiReply(plane.wire.training(_live_workload(plane, call)))


def delete(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``DELETE /api/v1/workloads/{trainings|distributed}/{id}``; 204 without a body up to 2.20."""
    _desire(plane, call, _live_workload(plane, call), "delete")
    if plane.settings.version < (2, 21):
        return ApiReply(None, 204)
    return ApiReply(_accepted("deleted"), 202)


def suspend(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST .../{id}/suspend``; no error if it is not running: the vendor declares none."""
    return _act_on(plane, call, "suspend")


def resume(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST .../{id}/resume``."""
    return _act_on(plane, call, "resume")


def batch(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST /api/v1/workloads/batch``: 200 even if some failed; from 2.19 on."""
    if plane.settings.version < (2, 19):
        raise ApiError(404, "not found")
    body = call.body if isinstance(call.body, dict) else {}
    ids = _batch_ids(body)
    action = body.get("action")
    if action not in _DESIRES:
        raise ApiError(400, f"action {action!r} is none of {', '.join(_DESIRES)}", "action")
    succeeded: list[str] = []
    failed: list[JsonObject] = []
    # One workload that is gone must not keep the others from being changed.
    for workload_id in ids:
        workload = plane.world.live(workload_id)
        if workload is None:
            message = f"workload {workload_id} not found"
            failed.append(
                {
                    "id": workload_id,
                    "code": 404,
                    "message": message,
                }
            )
            continue
        _desire(plane, call, workload, action)
        succeeded.append(workload_id)
    content = {
        "id": f"batch-{len(plane.requests)}",
        "succeeded": succeeded,
        "failed": failed,
    }
    return ApiReply(content)


def _batch_ids(body: JsonObject) -> list[str]:
    ids = body.get("ids")
    if not isinstance(ids, list) or not 1 <= len(ids) <= _BATCH_LIMIT:
        raise ApiError(400, f"ids must be a list of 1 to {_BATCH_LIMIT} workload ids", "ids")
    return [str(one) for one in ids]


_DESIRES = {
    "delete": "Deleted",
    "suspend": "Stopped",
    "resume": "Running",
}


def _act_on(plane: ControlPlane, call: ApiCall, action: str) -> ApiReply:
    if call.params["kind"] == "distributed" and plane.settings.version < (2, 20):
        raise ApiError(404, "not found")
    _desire(plane, call, _live_workload(plane, call), action)
    return ApiReply(_accepted(f"{action} requested"), 202)


def _desire(plane: ControlPlane, call: ApiCall, workload: EmulatedWorkload, action: str) -> None:
    if action != "delete" and not _may_change(workload, call):
        return  # the vendor answers 202 also if there is nothing left to do
    workload.desired = _DESIRES[action]
    if action == "resume" and "stuck_resuming" in call.params:
        workload.not_before = math.inf
    plane.engine.apply_user_action(workload, plane.clock.now())
    plane.changed(workload)


def _may_change(workload: EmulatedWorkload, call: ApiCall) -> bool:
    is_over = workload.phase in phases.ENDED or workload.desired == "Deleted"
    return not is_over and not fnmatchcase(workload.name, call.params.get("deaf", ""))


def _accepted(what: str) -> dict[str, object]:
    return {
        "code": 202,
        "message": f"Workload {what}",
    }


def _live_workload(plane: ControlPlane, call: ApiCall) -> EmulatedWorkload:
    workload = plane.world.live(call.params["id"])
    if workload is None or workload.kind != _KINDS[call.params["kind"]]:
        raise ApiError(404, f"workload {call.params['id']} not found")
    return workload

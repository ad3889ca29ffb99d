"""
Endpoints for the emulator's page: the whole tenant at a glance, and one workload's story.

The page needs one call a second, not one for each part. The paths are outside ``/api``, so that
looking at the page neither moves a stepped clock nor meets planned faults.
"""

from __future__ import annotations

from dataclasses import asdict

from airflow_runai.emulator import phases
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.history_bars import history_bars, interruptions
from airflow_runai.emulator.records import EmulatedWorkload, Pod
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply, JsonObject
from airflow_runai.emulator.world import EmulatedCluster, EmulatedProject

LOG_BYTES = 50_000
RECORDS = 300
DELETED_SHOWN = 20
_SPEC_SHOWN = (
    "image",
    "command",
    "args",
    "workingDir",
    "priorityClass",
)


def overview(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /_emulator/overview``: nodes with their workloads, projects, workloads."""
    # An emulator may run for months; the newest deletions are enough for a page.
    deleted = sorted(plane.world.listed(deleted=True), key=lambda one: one.deleted_at or 0)
    shown = [*plane.world.listed(), *deleted[-DELETED_SHOWN:]]
    shown.sort(key=lambda one: one.created_at, reverse=True)
    return ApiReply(
        {
            "now": plane.clock.now(),
            "version": plane.settings.control_plane_version,
            "clusters": [_cluster(plane, cluster) for cluster in plane.world.clusters],
            "projects": [_project(plane, project) for project in plane.world.projects],
            "workloads": [_summary(plane, one) for one in shown],
        }
    )


def story(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /_emulator/workloads/{name}/story[?incarnation=N]``: history, events, log of one."""
    workload = _named(plane, call.params["name"])
    number = call.number("incarnation")
    incarnation = workload.incarnation if number is None else number
    incarnations = [_incarnation(workload, n) for n in range(1, workload.incarnation + 1)]
    content = {
        "now": plane.clock.now(),
        "workload": _summary(plane, workload),
        "asked": {key: workload.spec.get(key) for key in _SPEC_SHOWN},
        "history": _phases(workload)[::-1][:RECORDS],
        "events": _events(workload)[::-1][:RECORDS],
        "incarnations": incarnations,
        "incarnation": incarnation,
    }
    return ApiReply(content | _log(plane, workload.name, incarnation))


def _phases(workload: EmulatedWorkload) -> list[JsonObject]:
    records = [record for record in workload.history if record.phase]
    return [
        {
            "at": one.at,
            "phase": one.phase,
            "message": one.message,
        }
        for one in records
    ]


def _events(workload: EmulatedWorkload) -> list[JsonObject]:
    return [
        {
            "at": one.at,
            **asdict(one.event),
        }
        for one in workload.history
        if one.event
    ]


def _cluster(plane: ControlPlane, cluster: EmulatedCluster) -> JsonObject:
    mine = [one for one in plane.world.listed() if one.cluster_id == cluster.id]
    held = [(pod, _mark(plane, one)) for one in mine for pod in one.live_pods]
    nodes = [
        {
            "name": node,
            "gpus": _gpus(node, count, held),
        }
        for node, count in cluster.nodes.items()
    ]
    return {
        "name": cluster.name,
        "nodes": nodes,
    }


def _gpus(node: str, count: int, held: list[tuple[Pod, dict[str, str]]]) -> list[list[JsonObject]]:
    return [
        [
            {
                **mark,
                "share": pod.share,
            }
            for pod, mark in held
            if pod.node == node and number in pod.gpus
        ]
        for number in range(count)
    ]


def _project(plane: ControlPlane, project: EmulatedProject) -> JsonObject:
    mine = [one for one in plane.world.listed() if one.project_id == project.id]
    used = sum(one.held_gpus for one in mine)
    # Two projects of one name are told apart by their cluster.
    clusters = {cluster.id: cluster.name for cluster in plane.world.clusters}
    return {
        "name": project.name,
        "cluster": clusters[project.cluster_id],
        "quota": project.quota,
        "limit": project.queue.limit,
        "used": round(used, 4),
        "over_quota": round(max(0.0, used - project.quota), 4),
        "waiting": sum(one.phase == phases.PENDING for one in mine),
    }


def _summary(plane: ControlPlane, one: EmulatedWorkload) -> JsonObject:
    now = plane.clock.now()
    return {
        **_mark(plane, one),
        "kind": "distributed" if one.kind == "distributed" else "trainings",
        "phase": "Deleted" if one.deleted_at else one.phase,
        "message": one.phase_message,
        "created_at": one.created_at,
        "ended_at": one.deleted_at or one.completed_at,
        "nodes": sorted({pod.node for pod in one.live_pods}),
        "gpus": round(sum(one.gpu_demand), 4),
        "incarnation": one.incarnation,
        "interruptions": interruptions(one),
        "bars": [asdict(bar) for bar in history_bars(one, now)],
        "actions": _actions(one),
    }


def _mark(plane: ControlPlane, one: EmulatedWorkload) -> dict[str, str]:
    return {
        "id": one.id,
        "name": one.name,
        "project": plane.world.project_of(one).name,
    }


def _actions(one: EmulatedWorkload) -> list[str]:
    """List the actions that are possible now."""
    if one.deleted_at or one.desired == "Deleted":
        return []
    unfinished = one.phase not in phases.ENDED
    possible = {
        "preempt": bool(one.live_pods) and one.departure is None,
        "suspend": unfinished and one.desired == "Running",
        "resume": unfinished and one.desired == "Stopped",
        "delete": True,
    }
    return [action for action, holds in possible.items() if holds]


def _named(plane: ControlPlane, name: str) -> EmulatedWorkload:
    """Find a workload by id or name: a live one before deleted ones, then the newest."""
    same = [one for one in plane.world.workloads.values() if name in (one.id, one.name)]
    if not same:
        raise ApiError(404, f"workload {name} not found")
    return max(same, key=lambda one: (one.deleted_at is None, one.created_at))


def _incarnation(one: EmulatedWorkload, number: int) -> JsonObject:
    pods = [pod for pod in one.pods if pod.incarnation == number]
    ends = [pod.completed_at or pod.deleted_at for pod in pods]
    return {
        "number": number,
        "nodes": sorted({pod.node for pod in pods}),
        "started_at": min((pod.started_at for pod in pods if pod.started_at), default=None),
        "ended_at": max(end for end in ends if end) if pods and all(ends) else None,
        # Ours: the real API tells none.
        "exit_codes": [pod.exit_code for pod in pods if pod.exit_code is not None],
    }


def _log(plane: ControlPlane, name: str, incarnation: int) -> JsonObject:
    if plane.processes is None:
        return {
            "log": None,
            "log_is_cut": False,
        }
    # One byte more than is shown tells whether there is more.
    log = plane.processes.log(name, incarnation, last=LOG_BYTES + 1)
    text = log[-LOG_BYTES:].decode(errors="replace")
    return {
        "log": text,
        "log_is_cut": len(log) > LOG_BYTES,
    }

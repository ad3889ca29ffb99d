"""
The Cluster API: what each cluster serves itself, under ``/cluster-api``.

All clusters of the emulator answer at the control plane's address. Logs go with their pod, as on
the platform: those of a preempted incarnation can be read until its pods have ended, those of a
workload that ended by itself until it is deleted.
"""

from __future__ import annotations

import re

from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.records import EmulatedWorkload, Pod
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply

_DURATION = re.compile(r"\d{1,9}[smh]")


def status(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /cluster-api/status``."""
    return ApiReply({"status": "OK"})


def download(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """
    ``GET /cluster-api/api/v1/{project}/workloads/{type}/{framework}/{name}/logs/download``.

    The query may hold ``pod, container, tail`` (lines), ``since`` (such as ``5m``; only checked,
    since the files hold no times), ``limitBytes`` and ``previous=true`` (the incarnation before,
    if it has failed); other names are ignored.
    """
    workload = _workload(plane, call)
    if call.query.get("container", workload.name) != workload.name:
        raise ApiError(400, f"container {call.query['container']} is not valid")
    pod = _pod(workload, call)
    _check_since(call)
    text = b""  # what runs by a script says nothing
    if plane.processes is not None:
        text = plane.processes.log(workload.name, pod.incarnation, pod=pod.index)
    return ApiReply(_cut(text, call.number("tail"), call.number("limitBytes")))


def _workload(plane: ControlPlane, call: ApiCall) -> EmulatedWorkload:
    project, name = call.params["project"], call.params["name"]
    ids = [one.id for one in plane.world.projects if one.name == project]
    found = (plane.world.named(name, project_id) for project_id in ids)
    for workload in found:
        if workload and _kind(workload) == (call.params["type"], call.params["framework"]):
            return workload
    raise ApiError(404, f"workload {name} not found in project {project}")


def _kind(workload: EmulatedWorkload) -> tuple[str, str]:
    """Return type and framework as the path names them."""
    if workload.kind != "distributed":
        return "training", "runai"
    return "distributed", str(workload.spec.get("distributedFramework", "")).lower()


def _pod(workload: EmulatedWorkload, call: ApiCall) -> Pod:
    """Select the pod that the query names; by default the newest incarnation's first."""
    present = [pod for pod in workload.pods if pod.deleted_at is None]
    name = call.query.get("pod")
    if name is not None:
        present = [pod for pod in present if pod.name == name]
    if call.query.get("previous") == "true":
        present = [pod for pod in present if pod.incarnation < workload.incarnation]
    if not present:
        raise ApiError(404, f"no pod of workload {workload.name} has such a log")
    return max(present, key=lambda pod: (pod.incarnation, -pod.index))


def _check_since(call: ApiCall) -> None:
    text = call.query.get("since")
    if text is not None and not _DURATION.fullmatch(text):
        raise ApiError(400, f"since: {text!r} is not a duration such as 30s, 5m or 2h")


def _cut(text: bytes, tail: int | None, limit: int | None) -> bytes:
    if tail is not None:
        text = b"".join(text.splitlines(keepends=True)[-tail:]) if tail else b""
    return text if limit is None else text[:limit]

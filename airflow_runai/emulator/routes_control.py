"""
The emulator's own endpoints under ``/_emulator``: faults, clock, logs, the requests so far.

No Run:ai has these. They need a token like every other call.
"""

from __future__ import annotations

from dataclasses import asdict

from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply


def add_fault(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST /_emulator/faults {"kind": ..., ...}``."""
    if not isinstance(call.body, dict) or "kind" not in call.body:
        raise ApiError(400, "a fault needs at least a kind")
    # A copy, since the kind is taken out of it.
    details = dict(call.body)
    try:
        fault = plane.faults.add(str(details.pop("kind")), **details)
    except (ValueError, TypeError) as error:
        raise ApiError(400, str(error)) from error
    return ApiReply(asdict(fault), 201)


def faults(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /_emulator/faults``: the faults still to come."""
    return ApiReply({"faults": plane.faults.planned()})


def clear_faults(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``DELETE /_emulator/faults``."""
    plane.faults.clear()
    return ApiReply(None, 204)


def move_clock(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST /_emulator/clock {"advance": seconds}``."""
    seconds = call.body.get("advance") if isinstance(call.body, dict) else None
    if not isinstance(seconds, (int, float)) or seconds < 0:
        raise ApiError(400, f"advance: {seconds!r} is not a number of seconds of 0 or more")
    # Time that passes by itself cannot also be moved.
    if not plane.clock.stepped:
        raise ApiError(400, "the clock is real; start the emulator with --clock stepped")
    plane.advance(seconds)
    return ApiReply({"now": plane.clock.now()})


def logs(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /_emulator/workloads/{name}/logs[?incarnation=N]``: output of the first pod."""
    if plane.processes is None:
        raise ApiError(404, "there are no processes, thus no logs")
    name = call.params["name"]
    incarnation = call.number("incarnation")
    # Deleted ones count: their logs are what one wants to read.
    if all(workload.name != name for workload in plane.world.workloads.values()):
        raise ApiError(404, f"workload {name} not found")
    text = plane.processes.log(name, incarnation)
    return ApiReply(
        {
            "name": name,
            "log": text.decode(errors="replace"),
        }
    )


def preempt(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``POST /_emulator/workloads/{name}/preempt``: preempt it now, as the platform does."""
    name = call.params["name"]
    if not plane.preempt(name):
        raise ApiError(400, f"no workload {name} holds anything that could be taken")
    return ApiReply(
        {
            "code": 202,
            "message": "Preempting",
        },
        202,
    )


def requests(plane: ControlPlane, call: ApiCall) -> ApiReply:
    """``GET /_emulator/requests``: method, path, query and status of every call so far."""
    return ApiReply({"requests": [asdict(request) for request in plane.requests]})

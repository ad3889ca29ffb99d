"""
What a pod's status says: pure functions from the states of its containers, in the shapes of the recordings.

The texts of waiting states are imitations of a kubelet's (marked [S] in kubernetes-facts.md);
fields, reasons and their order are those that clients saw there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.rig.api import Object

__all__ = [
    "Ended",
    "Report",
    "Running",
    "State",
    "Waiting",
    "lost",
    "phase_of",
    "stamp",
    "status_of",
    "succeeded",
]

HOST = "127.0.0.1"
TERMINAL = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Waiting:
    """Not started (again) yet."""

    reason: str = "ContainerCreating"
    message: str = ""


@dataclass(frozen=True)
class Running:
    """A process; ``started`` is in seconds since the epoch, as all times here."""

    identity: str
    started: float


@dataclass(frozen=True)
class Ended:
    """What is left of a process; ``started`` is None if it never was one."""

    identity: str
    code: int
    reason: str
    finished: float
    started: float | None = None
    message: str = ""


State = Waiting | Running | Ended


@dataclass(frozen=True)
class Report:
    """One container: its name, image, state, and the end of the attempt before this one."""

    name: str
    image: str
    state: State
    restarts: int = 0
    last: Ended | None = None


def lost(identity: str, finished: float, started: float | None = None) -> Ended:
    """Return the end of a container that nobody saw ending, or that could not start any more."""
    message = "The container could not be located when the pod was terminated"
    return Ended(identity, 137, "ContainerStatusUnknown", finished, started, message)


def succeeded(report: Report) -> bool:
    """Tell whether a container has done its work; the next init container waits for this."""
    return isinstance(report.state, Ended) and report.state.code == 0


def stamp(seconds: float | None) -> str | None:
    """Write a time as Kubernetes does in objects: UTC, whole seconds."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def phase_of(policy: str, first: Sequence[Report], main: Sequence[Report]) -> str:
    """
    Sum up a pod.

    :param policy: its ``restartPolicy``.
    :param first: its init containers.
    :param main: its other containers.
    """
    failed = [report for report in first if isinstance(report.state, Ended) and report.state.code]
    if failed and policy == "Never":
        return "Failed"
    if not all(map(succeeded, first)) or any(
        isinstance(one.state, Waiting) and not one.last for one in main
    ):
        return "Pending"
    codes = [report.state.code for report in main if isinstance(report.state, Ended)]
    if len(codes) < len(main) or policy == "Always" or (policy == "OnFailure" and any(codes)):
        return "Running"
    return "Failed" if any(codes) else "Succeeded"


def status_of(
    phase: str, first: Sequence[Report], main: Sequence[Report], was: Mapping[str, Any], ip: str
) -> Object:
    """
    Build the status of a pod, as a strategic merge patch.

    :param was: the status as it is, for the times at which conditions changed.
    :param ip: the pod's address; told once a container runs or ran. It never changes: ``podIPs`` is
        merged by key.
    """
    status: Object = {
        "phase": phase,
        "conditions": _conditions(phase, first, main, was),
        "hostIP": HOST,
        "hostIPs": [{"ip": HOST}],
        "startTime": was.get("startTime") or stamp(time.time()),
        "containerStatuses": [_container(report) for report in main],
    }
    if first:
        status["initContainerStatuses"] = [_container(report) for report in first]
    if any(not isinstance(report.state, Waiting) or report.last for report in (*first, *main)):
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    return status


def _conditions(
    phase: str, first: Sequence[Report], main: Sequence[Report], was: Mapping[str, Any]
) -> list[Object]:
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase)
    unready = " ".join(report.name for report in main if not isinstance(report.state, Running))
    ready = (
        (False, ended, None)
        if ended
        else _all(unready, "ContainersNotReady", "containers with unready status")
    )
    late = " ".join(report.name for report in first if not succeeded(report))
    initialized = _all(late, "ContainersNotInitialized", "containers with incomplete status")
    if phase == "Succeeded":
        initialized = (True, ended, None)
    states = {
        "PodReadyToStartContainers": (ended is None, None, None),
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
    }
    before = {condition["type"]: condition for condition in was.get("conditions") or []}
    return [_condition(kind, *state, before.get(kind, {})) for kind, state in states.items()]


def _all(missing: str, reason: str, words: str) -> tuple[bool, str | None, str | None]:
    return (False, reason, f"{words}: [{missing}]") if missing else (True, None, None)


def _condition(
    kind: str, holds: bool, reason: str | None, message: str | None, before: Mapping[str, Any]
) -> Object:
    status = "True" if holds else "False"
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": since or stamp(time.time()),
        "reason": reason,
        "message": message,
    }


def _container(report: Report) -> Object:
    runs = isinstance(report.state, Running)
    seen = report.last if isinstance(report.state, Waiting) else report.state
    identity = seen.identity if seen else ""
    return {
        "name": report.name,
        "state": _state(report.state),
        "lastState": _state(report.last) if report.last else {},
        "ready": runs,
        "restartCount": report.restarts,
        "image": report.image,
        "imageID": report.image if identity else "",
        **({"containerID": identity} if identity else {}),
        "started": runs,
    }


def _state(state: State) -> Object:
    if isinstance(state, Waiting):
        return {
            "waiting": {
                "reason": state.reason,
                **({"message": state.message} if state.message else {}),
            }
        }
    if isinstance(state, Running):
        return {"running": {"startedAt": stamp(state.started)}}
    ended = {
        "exitCode": state.code,
        "reason": state.reason,
        "message": state.message or None,
        "startedAt": stamp(state.started),
        "finishedAt": stamp(state.finished),
        "containerID": state.identity or None,
    }
    return {"terminated": {key: value for key, value in ended.items() if value is not None}}

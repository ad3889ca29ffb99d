"""
Groups of fields of a workload on the wire, each from the records alone.

``wire.py`` puts them together.
"""

from __future__ import annotations

from airflow_runai.emulator import lifecycle, phases
from airflow_runai.emulator.clock import iso
from airflow_runai.emulator.quantities import GPU_MEMORY_BYTES
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.replies import JsonObject
from airflow_runai.emulator.scheduler import OVER_LIMIT


def phase_fields(workload: EmulatedWorkload) -> JsonObject:
    """Write the phase and since when it has been so."""
    since = iso(workload.phase_at)
    phase = {
        "phase": workload.phase,
        "desiredPhase": workload.desired,
        "phaseUpdatedAt": since,
        "updatedAt": since,
        "phaseMessage": workload.phase_message,
        "k8sPhase": phases.KUBERNETES[workload.phase],
        "k8sPhaseUpdatedAt": since,
    }
    # The vendor leaves the field out where there is no reason.
    if workload.phase_reason:
        phase["phaseReason"] = workload.phase_reason
    return phase


def allocation_fields(workload: EmulatedWorkload) -> JsonObject:
    """Write what a workload's pods hold now."""
    pods = workload.live_pods
    gpus = workload.held_gpus
    memory = int(gpus * GPU_MEMORY_BYTES / 2**20)
    return {
        "runningPods": sum(pod.phase == "Running" for pod in pods),
        "currentNodePools": ["default"] if pods else [],
        "allocatedResources": {
            "gpu": gpus,
            "gpuMemory": f"{memory}Mi",
        },
        # The emulator measures no use of GPUs.
        "idleGpus": 0,
        "idleAllocatedGpus": 0,
    }


def duration_fields(workload: EmulatedWorkload, now: float) -> JsonObject:
    """Write how long it has waited and run, in whole seconds."""
    pending, running = lifecycle.totals(workload, now)
    return {
        "totalPendingTimeSeconds": pending,
        "totalRunningTimeSeconds": running,
    }


def actions(workload: EmulatedWorkload) -> dict[str, bool]:
    """Write which actions a user may take."""
    ends = workload.phase in phases.ENDED or workload.phase == phases.DELETING
    return {
        "delete": workload.phase != phases.DELETING,
        "suspend": not ends and workload.desired == "Running",
    }


def requested_pods(workload: EmulatedWorkload) -> dict[str, int]:
    """Write how many pods a workload consists of."""
    count = len(workload.gpu_demand)
    return {
        "number": count,
        "min": count,
        "max": count,
    }


def resources(spec: JsonObject, gpus: float) -> JsonObject:
    """Write requests and limits; what the spec leaves out is left out here."""
    compute = spec.get("compute") or {}
    resources: JsonObject = {
        "gpu": {
            "request": gpus,
            "limit": gpus,
        }
    }
    if compute.get("gpuRequestType"):
        resources["gpuRequestType"] = compute["gpuRequestType"]
    for name, key in (("cpu", "cpuCore"), ("cpuMemory", "cpuMemory"), ("gpuMemory", "gpuMemory")):
        bounds = {
            "request": compute.get(f"{key}Request"),
            "limit": compute.get(f"{key}Limit"),
        }
        # No bound is not the same as a bound of zero.
        bounds = {bound: value for bound, value in bounds.items() if value is not None}
        if bounds:
            resources[name] = bounds
    return resources


def variables(spec: JsonObject) -> dict[str, str]:
    """Write the environment variables that have a plain value."""
    variables = spec.get("environmentVariables") or ()
    return {item["name"]: item["value"] for item in variables if item.get("value") is not None}


def pending_messages(workload: EmulatedWorkload) -> list[JsonObject]:
    """Write why a workload waits in its queue."""
    # The vendor's schema requires phaseReason here and knows two values; waiting for free GPUs is
    # neither of them.
    if workload.phase != phases.PENDING or not workload.phase_reason:
        return []
    over_limit = workload.phase_reason == OVER_LIMIT
    message = {
        "nodePool": "default",
        "phaseReason": workload.phase_reason,
        "reason": "Over limit" if over_limit else "Non-preemptible over quota",
        "orgType": "PROJECT",
        "userMessage": workload.phase_message,
    }
    return [message]

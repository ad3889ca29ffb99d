"""
Workloads as the vendor writes them: list item, detailed item, and the view of trainings.

The two shapes differ on purpose, as they do in the vendor's API: ``id`` and ``phase`` in lists,
``workloadId`` and ``actualPhase`` in the view.
"""

from __future__ import annotations

from airflow_runai.emulator import lifecycle, phases
from airflow_runai.emulator.clock import iso
from airflow_runai.emulator.records import GPU_MEMORY_BYTES, EmulatedWorkload, Pod, Record
from airflow_runai.emulator.replies import JsonObject
from airflow_runai.emulator.scheduler import OVER_LIMIT
from airflow_runai.emulator.world import TENANT_ID, World

KIND_NAMES = {
    "training": "Training",
    "distributed": "Distributed",
}


class Wire:
    """
    Writes records as JSON values.

    :param version: of the control plane; older ones know fewer fields.
    """

    def __init__(self, world: World, version: tuple[int, int]) -> None:
        self._world = world
        self._version = version

    def training(self, workload: EmulatedWorkload) -> JsonObject:
        """Write the view that create and ``GET /trainings/{id}`` return."""
        return {
            "name": workload.name,
            "requestedName": workload.name,
            "workloadId": workload.id,
            "projectId": workload.project_id,
            "departmentId": self._world.department_id(workload.cluster_id),
            "clusterId": workload.cluster_id,
            "createdBy": workload.created_by,
            "createdAt": iso(workload.created_at),
            "deletedAt": _iso(workload.deleted_at),
            "desiredPhase": workload.desired,
            "actualPhase": workload.phase,
            "spec": workload.spec,
            **workload.extras,
        }

    def item(self, workload: EmulatedWorkload, now: float) -> JsonObject:
        """Write the item of the generic list."""
        item = self._identity(workload) | self._state(workload, now) | self._request(workload)
        for field, since in _SINCE.items():
            if self._version < since:
                item.pop(field, None)
        return item

    def detailed(self, workload: EmulatedWorkload, now: float) -> JsonObject:
        """Write ``GET /workloads/{id}``: the list item and why the workload waits."""
        return self.item(workload, now) | {"pendingSchedulingMessages": _pending_messages(workload)}

    def _identity(self, workload: EmulatedWorkload) -> JsonObject:
        project = self._world.project_of(workload)
        return {
            "tenantId": TENANT_ID,
            "type": KIND_NAMES[workload.kind],
            "name": workload.name,
            "id": workload.id,
            "submittedBy": workload.created_by,
            "clusterId": workload.cluster_id,
            "projectName": project.name,
            "projectId": workload.project_id,
            "departmentName": "default",
            "departmentId": self._world.department_id(workload.cluster_id),
            "namespace": project.namespace,
            "createdAt": iso(workload.created_at),
            "deletedAt": _iso(workload.deleted_at),
            "completedAt": _iso(workload.completed_at),
            "source": "Control-plane",
            "category": "Train",
            "childrenIds": [],
        }

    def _state(self, workload: EmulatedWorkload, now: float) -> JsonObject:
        return {
            **_phase(workload),
            **_allocation(workload),
            **_durations(workload, now),
            "conditions": [],
            "requestedPods": _requested_pods(workload),
            "requestedNodePools": list(workload.spec.get("nodePools") or ["default"]),
            "actionsSupport": _actions(workload),
        }

    def _request(self, workload: EmulatedWorkload) -> JsonObject:
        spec = workload.spec
        framework = spec.get("distributedFramework")
        request = {
            "priority": workload.priority,
            "priorityClassName": workload.priority_class,
            "preemptible": workload.preemptible,
            "workloadRequestedResources": _resources(spec, sum(workload.gpu_demand)),
            "podsRequestedResources": _resources(spec, workload.gpu_demand[-1]),
            "images": [spec["image"]],
            "urls": [],
            "datasources": [],
            "environments": [],
            "externalConnections": [],
            "additionalFields": {},
            "environmentVariables": _variables(spec),
            "command": spec.get("command") or "",
            "arguments": spec.get("args") or "",
        }
        if framework:
            request["distributedFramework"] = framework
        return request

    def pod(self, workload: EmulatedWorkload, pod: Pod) -> JsonObject:
        """Write one pod."""
        updated_at = pod.deleted_at or pod.completed_at or pod.started_at or pod.created_at
        container = {
            "name": workload.name,
            "image": workload.spec["image"],
        }
        if pod.started_at:
            container["startedAt"] = iso(pod.started_at)
        return {
            "name": pod.name,
            "id": pod.id,
            "tenantId": TENANT_ID,
            "workloadId": workload.id,
            "workloadName": workload.name,
            "clusterId": workload.cluster_id,
            "projectId": workload.project_id,
            "projectName": self._world.project_of(workload).name,
            "priorityClassName": workload.priority_class,
            "nodeName": pod.node,
            "createdAt": iso(pod.created_at),
            "completedAt": _iso(pod.completed_at),
            "deletedAt": _iso(pod.deleted_at),
            "updatedAt": iso(updated_at),
            "containers": [container],
            "currentNodePool": "default",
            "requestedNodePools": ["default"],
            "k8sPhase": pod.phase,
            "k8sPhaseUpdatedAt": iso(updated_at),
        }

    def event(self, workload: EmulatedWorkload, record: Record) -> JsonObject:
        """Write one event."""
        event = record.event
        assert event is not None
        return {
            "createdAt": iso(record.at),
            "id": event.id,
            "type": event.type,
            "clusterId": workload.cluster_id,
            "message": event.message,
            "reason": event.reason,
            "source": event.source,
            "involvedObject": {
                "uid": event.object_id,
                "kind": event.object_kind,
                "name": event.object_name,
                "namespace": self._world.project_of(workload).namespace,
            },
        }

    def history(self, workload: EmulatedWorkload, record: Record) -> JsonObject:
        """Write one line of history."""
        spec: JsonObject
        if record.event:
            kind, spec = "Event", {"event": self.event(workload, record)}
        else:
            update = {
                "phase": record.phase,
                "phaseMessage": record.message,
            }
            kind, spec = "PhaseUpdate", {"phaseUpdate": update}
        return {
            "meta": {
                "creationTimestamp": iso(record.at),
                "type": kind,
            },
            "spec": spec,
        }


# Fields of the list item, and the first control plane that has them.
_SINCE = {
    "phaseReason": (2, 19),
    "idleGpus": (2, 20),
    "idleAllocatedGpus": (2, 20),
    "category": (2, 22),
    "totalPendingTimeSeconds": (2, 23),
    "totalRunningTimeSeconds": (2, 23),
}


def _iso(instant: float | None) -> str | None:
    return None if instant is None else iso(instant)


def _phase(workload: EmulatedWorkload) -> JsonObject:
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


def _allocation(workload: EmulatedWorkload) -> JsonObject:
    pods = workload.live_pods
    gpus = workload.held_gpus
    memory = int(gpus * GPU_MEMORY_BYTES / 2**20)
    return {
        "runningPods": sum(pod.phase == "Running" for pod in pods),
        "currentNodePools": ["default"] if pods else [],
        "allocatedResources": {"gpu": gpus, "gpuMemory": f"{memory}Mi"},
        # The emulator measures no use of GPUs.
        "idleGpus": 0,
        "idleAllocatedGpus": 0,
    }


def _durations(workload: EmulatedWorkload, now: float) -> JsonObject:
    pending, running = lifecycle.totals(workload, now)
    return {
        "totalPendingTimeSeconds": pending,
        "totalRunningTimeSeconds": running,
    }


def _actions(workload: EmulatedWorkload) -> dict[str, bool]:
    ends = workload.phase in phases.ENDED or workload.phase == phases.DELETING
    return {
        "delete": workload.phase != phases.DELETING,
        "suspend": not ends and workload.desired == "Running",
    }


def _requested_pods(workload: EmulatedWorkload) -> dict[str, int]:
    count = len(workload.gpu_demand)
    return {
        "number": count,
        "min": count,
        "max": count,
    }


def _resources(spec: JsonObject, gpus: float) -> JsonObject:
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
        bounds = {bound: value for bound, value in bounds.items() if value is not None}
        if bounds:
            resources[name] = bounds
    return resources


def _variables(spec: JsonObject) -> dict[str, str]:
    variables = spec.get("environmentVariables") or ()
    return {item["name"]: item["value"] for item in variables if item.get("value") is not None}


def _pending_messages(workload: EmulatedWorkload) -> list[JsonObject]:
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

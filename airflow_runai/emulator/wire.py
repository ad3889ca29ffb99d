"""
Workloads as the vendor writes them: list item, detailed item, and the view of trainings.

The two shapes differ on purpose, as they do in the vendor's API: ``id`` and ``phase`` in lists,
``workloadId`` and ``actualPhase`` in the view.
"""

from __future__ import annotations

from airflow_runai.emulator import workload_fields as fields
from airflow_runai.emulator.clock import iso
from airflow_runai.emulator.records import EmulatedWorkload, Pod, Record
from airflow_runai.emulator.replies import JsonObject
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
        # Built whole and cut, so that one table says what each version knows.
        for field, since in _SINCE.items():
            if self._version < since:
                item.pop(field, None)
        return item

    def detailed(self, workload: EmulatedWorkload, now: float) -> JsonObject:
        """Write ``GET /workloads/{id}``: the list item and why the workload waits."""
        return self.item(workload, now) | {
            "pendingSchedulingMessages": fields.pending_messages(workload)
        }

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
        }

    def _state(self, workload: EmulatedWorkload, now: float) -> JsonObject:
        return {
            **fields.phase_fields(workload),
            **fields.allocation_fields(workload),
            **fields.duration_fields(workload, now),
            "conditions": [],
            "requestedPods": fields.requested_pods(workload),
            "requestedNodePools": list(workload.spec.get("nodePools") or ["default"]),
            "actionsSupport": fields.actions(workload),
        }

    def _request(self, workload: EmulatedWorkload) -> JsonObject:
        spec = workload.spec
        framework = spec.get("distributedFramework")
        request = {
            "priority": workload.priority,
            "priorityClassName": workload.priority_class,
            "preemptible": workload.preemptible,
            "workloadRequestedResources": fields.resources(spec, sum(workload.gpu_demand)),
            "podsRequestedResources": fields.resources(spec, workload.gpu_demand[-1]),
            "images": [spec["image"]],
            "urls": [],
            "datasources": [],
            "environments": [],
            "externalConnections": [],
            "additionalFields": {},
            "environmentVariables": fields.variables(spec),
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
            kind = "Event"
            spec = {"event": self.event(workload, record)}
        else:
            update = {
                "phase": record.phase,
                "phaseMessage": record.message,
            }
            kind = "PhaseUpdate"
            spec = {"phaseUpdate": update}
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

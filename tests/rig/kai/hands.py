"""
Carries out what a cycle decided: binds, evicts, explains, in the order in which KAI's parts write.

An object that is gone in the meantime is no failure: the next cycle sees the world as it then is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import singledispatchmethod

from tests.rig.api import STRATEGIC, Api, ApiError, Object
from tests.rig.kai.actions import Action, Bind, Evict, Explain, MarkStale, Pipeline, Remark
from tests.rig.kai.grouper import PODGROUPS
from tests.rig.kai.recorder import Recorder, timestamp
from tests.rig.kai.snapshot import STALE_ANNOTATION, Group, Pod

__all__ = ["Hands"]

POOL = "default"
SCHEDULER, BINDER = "kai-scheduler", "kai-binder"
LAST_START = "kai.scheduler/last-start-timestamp"


class Hands:
    """
    Writes to the API for the scheduler and the binder.

    :param eviction_condition: tell on an evicted pod who took it, before it is deleted
        (``--update-pod-eviction-condition``; KAI's default is not to).
    """

    def __init__(
        self, api: Api, scheduler: Recorder, binder: Recorder, eviction_condition: bool
    ) -> None:
        self._api, self._scheduler, self._binder = api, scheduler, binder
        self._eviction_condition = eviction_condition
        #: Nodes of pods by uid that the mirrors may not show yet; empty for a pod that was told to
        #: go.
        self.assumed: dict[str, str] = {}

    def carry_out(self, decided: Iterable[Action]) -> None:
        """Do all of it, one after the other."""
        for action in decided:
            self._do(action)

    def forget(self, seen: Iterable[Object]) -> None:
        """
        Assume nothing any more about pods that the mirror shows as they were left, or not at all.
        """
        pods = {pod["metadata"]["uid"]: pod for pod in seen}
        for uid, node in list(self.assumed.items()):
            pod = pods.get(uid)
            if (
                pod is None
                or "deletionTimestamp" in pod["metadata"]
                or (node and pod["spec"].get("nodeName"))
            ):
                del self.assumed[uid]

    @singledispatchmethod
    def _do(self, action: Action) -> None:
        raise NotImplementedError(action)

    @_do.register
    def _(self, action: Bind) -> None:
        for pod, node in action.places:
            text = f"Successfully assigned pod {pod.path} to node {node} at node-pool {POOL}"
            self._scheduler.tell("Pod", pod.raw, "Normal", "Scheduled", text)
        self._note(action.group, {LAST_START: timestamp(time.time()), STALE_ANNOTATION: None})
        for pod, node in action.places:
            self._bind(pod, node)

    @_do.register
    def _(self, action: Evict) -> None:
        if self._eviction_condition:
            for pod in action.pods:
                condition = {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "PreemptionByScheduler",
                }
                self._set_condition(
                    pod, condition | {"message": action.messages[pod.uid]}, SCHEDULER
                )
        annotations = {"evictor-action-type": action.by, "num-evicted-pods": str(action.count)}
        if action.cause:
            annotations["evictor-pod-group-name"] = action.cause.name
            annotations["evictor-pod-group-namespace"] = action.cause.namespace
        for pod in action.pods:
            self._delete(pod)
            text = action.messages[pod.uid]
            self._scheduler.tell("PodGroup", action.group.raw, "Normal", "Evict", text, annotations)

    @_do.register
    def _(self, action: Pipeline) -> None:
        text = f"Pod {action.pod.path} was pipelined to node {action.node}"
        self._scheduler.tell("Pod", action.pod.raw, "Normal", "Pipelined", text)

    @_do.register
    def _(self, action: Explain) -> None:
        self._condition_of_group(action)
        for pod, text in action.pods:
            condition = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": text,
            }
            if _condition(pod.raw, "PodScheduled").get("message") != text:
                self._set_condition(pod, condition, SCHEDULER)
            self._scheduler.tell("Pod", pod.raw, "Warning", "Unschedulable", text)
        self._scheduler.tell(
            "PodGroup", action.group.raw, "Normal", "Unschedulable", action.reason.message
        )

    @_do.register
    def _(self, action: Remark) -> None:
        self._scheduler.tell("PodGroup", action.group.raw, "Normal", action.reason, action.message)

    @_do.register
    def _(self, action: MarkStale) -> None:
        self._note(action.group, {STALE_ANNOTATION: timestamp(time.time())})

    def _bind(self, pod: Pod, node: str) -> None:
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        told = {"metadata": {"uid": pod.uid, "annotations": {"received-resource-type": "Regular"}}}
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": target,
        }
        try:
            self._api.merge(f"{path}?fieldManager={BINDER}", told)
            self._api.create(f"{path}/binding", binding, fieldManager=BINDER)
        except ApiError:
            return
        self.assumed[pod.uid] = node
        text = f"Pod bound successfully to node {node}"
        condition = {"type": "PodBound", "status": "True", "reason": "Bound", "message": text}
        self._set_condition(pod, condition, BINDER)
        self._binder.tell("Pod", pod.raw, "Normal", "Bound", text)

    def _delete(self, pod: Pod) -> None:
        """Delete with the pod's own grace, and only this pod, not a later one of its name."""
        self._api.remove(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", uid=pod.uid)
        self.assumed[pod.uid] = ""

    def _set_condition(self, pod: Pod, condition: Object, manager: str) -> None:
        """Set one condition; its time of transition changes with its status only."""
        stood = _condition(pod.raw, condition["type"])
        kept = (
            stood.get("lastTransitionTime") if stood.get("status") == condition["status"] else None
        )
        times = {"lastProbeTime": None, "lastTransitionTime": kept or timestamp(time.time())}
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/status?fieldManager={manager}"
        change = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition | times]}}
        self._change(path, change, STRATEGIC)

    def _condition_of_group(self, action: Explain) -> None:
        """Write why a group waits, if that is news. It stays there when the group runs."""
        group = action.group
        stood = _first((group.raw.get("status") or {}).get("schedulingConditions"))
        message = action.reason.message
        if stood.get("message") == message:
            return
        reason: Object = {"reason": action.reason.code, "message": action.reason.text}
        if action.reason.details:
            reason["details"] = dict(action.reason.details)
        condition = {
            "type": "UnschedulableOnNodePool",
            "status": "True",
            "reason": "Unschedulable",
            "nodePool": POOL,
            "message": message,
            "reasons": [reason] if action.reason.code else [],
            "transitionID": str(int(stood.get("transitionID", 0)) + 1),
            "lastTransitionTime": timestamp(time.time()),
        }
        path = f"{_path(group)}/status?fieldManager={SCHEDULER}"
        self._change(path, {"status": {"schedulingConditions": [condition]}})

    def _note(self, group: Group, annotations: dict[str, str | None]) -> None:
        has = group.raw["metadata"].get("annotations") or {}
        wanted = {
            name: value for name, value in annotations.items() if value is not None or name in has
        }
        self._change(
            f"{_path(group)}?fieldManager={SCHEDULER}", {"metadata": {"annotations": wanted}}
        )

    def _change(
        self, path: str, change: Object, content_type: str = "application/merge-patch+json"
    ) -> None:
        try:
            self._api.merge(path, change, content_type)
        except ApiError as error:
            if error.status not in (404, 409, 422):
                raise


def _path(group: Group) -> str:
    return f"{PODGROUPS}/namespaces/{group.namespace}/podgroups/{group.name}"


def _condition(thing: Object, type: str) -> Object:
    conditions: list[Object] = (thing.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one["type"] == type), {})


def _first(conditions: list[Object] | None) -> Object:
    return conditions[0] if conditions else {}

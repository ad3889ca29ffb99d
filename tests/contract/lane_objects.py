"""The objects of a lane, as its own administrator sees them, and whether they have come to rest."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.rig import lanes
from tests.rig.api import Api, Object
from tests.rig.objects import KUEUE

SET_NAME, JOB_NAME = "jobset.sigs.k8s.io/jobset-name", "batch.kubernetes.io/job-name"
ENDED = ("Succeeded", "Failed")
#: A container on its way.
STARTING = ("ContainerCreating", "PodInitializing")


class LaneObjects:
    """
    What is in a namespace.

    :param lives: tells whether a process of a workload runs.
    :param is_queued: Kueue says when a Job may start.
    :ivar jobs: a path, as are ``sets`` and ``pods``.
    """

    def __init__(
        self, api: Api, namespace: str, lives: Callable[[str], bool], *, is_queued: bool
    ) -> None:
        self._api, self._lives, self._queues = api, lives, is_queued
        self._workloads = f"{KUEUE}/namespaces/{namespace}/workloads"
        self._groups = f"{lanes.PODGROUPS}/namespaces/{namespace}/podgroups"
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.sets = f"{lanes.JOBSETS}/namespaces/{namespace}/jobsets"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    def standing(self, name: str) -> list[Object]:
        """Return the pods of a workload that have not ended."""
        labels = [f"{label}={name}" for label in (JOB_NAME, SET_NAME)]
        lists = [self._api.get(self.pods, labelSelector=one)["items"] for one in labels]
        return [pod for pods in lists for pod in pods if pod["status"].get("phase") not in ENDED]

    def marks(self, name: str) -> str:
        """Return what labels and annotations say of a workload, wherever they were copied to."""
        events = self.pods.replace("/pods", "/events")
        kinds = self.jobs, self.sets, self.pods, self._groups, events
        found = [one for kind in kinds for one in self._api.get(kind)["items"]]
        # An event is no part of a workload, but people read it.
        return json.dumps(
            [
                one if one.get("involvedObject") else one["metadata"]
                for one in found
                if name in one["metadata"]["name"]
            ]
        )

    def are_settled(self) -> bool:
        """Tell whether nothing more is to be expected of any training at once."""
        jobs = [job for kind in (self.jobs, self.sets) for job in self._api.get(kind)["items"]]
        return all(self._stands(job) for job in jobs)

    def _stands(self, job: Object) -> bool:
        status, metadata = job.get("status") or {}, job["metadata"]
        owner, *_ = metadata.get("ownerReferences") or [metadata]
        name = owner["name"]
        if job["spec"].get("suspend"):
            return not self._queues or self._must_wait(owner["uid"])
        is_over = status.get("conditions") or status.get("failed")
        if is_over or "deletionTimestamp" in metadata or not name.startswith("train"):
            return True
        pods = self.standing(name)
        return bool(pods) and all(self._is_placed(name, pod) for pod in pods)

    def _must_wait(self, uid: str) -> bool:
        """Tell whether Kueue has said that a Job must wait."""
        mine = [
            condition
            for one in self._api.get(self._workloads)["items"]
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences") or ())
            for condition in (one.get("status") or {}).get("conditions") or ()
        ]
        return any(one["type"] == "QuotaReserved" and one["status"] == "False" for one in mine)

    def _is_placed(self, name: str, pod: Object) -> bool:
        status = pod["status"]
        if status.get("phase") == "Running":
            return self._lives(name)
        if "gpu-fraction" in (pod["metadata"].get("annotations") or {}):
            return True  # KAI waits in silence for a pod of its own, which no node here can run
        conditions = status.get("conditions") or ()
        if any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions):
            return True
        states = [one.get("state") or {} for one in status.get("containerStatuses") or ()]
        reasons = [(one.get("waiting") or {}).get("reason") for one in states]
        return any(reason and reason not in STARTING for reason in reasons)

"""The world C: a lane of the rig, that is a real API server, with everybody's hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from airflow_runai.backends import access
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.core.manifests import ClusterTerms
from tests.contract.real_time import RealTimeRig, TooEarly
from tests.contract.rig import Script
from tests.contract.rivalry import KAI, KUEUE, PLAIN, QUOTA, Rivalry
from tests.contract.workshop import Workshop
from tests.rig import faults, lanes
from tests.rig.api import Mirror, Object
from tests.rig.lanes import Lane
from tests.rig.objects import KUEUE as KUEUES
from tests.rig.waiting import until
from tests.rig.wire import Wire

T = TypeVar("T")
SET_NAME = "jobset.sigs.k8s.io/jobset-name"
JOB_NAME, HOSTNAME = "batch.kubernetes.io/job-name", "kubernetes.io/hostname"
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
ORDER = "rig.airflow-runai/"
ENDED = ("Succeeded", "Failed")


class LaneRig(RealTimeRig):
    """A lane of the rig with KAI."""

    knows = frozenset(
        {
            "durable",
            "image",
            "fields",
            "phases of tomorrow",
            "quota of objects",
            "queues",
            "rights",
            "memory",
            "gangs",
            "reasons",
            "secret",
        }
    )
    words: Mapping[str, str] = {
        "spent": "failed with exit code 3 (Error); Job has reached the specified backoff limit",
        "cut short": "Kubernetes counts",
        "preempted": "preempted by",
    }
    pace, grain = 0.05, 2.0
    rivalry: Rivalry = KAI

    def __init__(
        self,
        lane: Lane,
        folder: Path,
        *,
        images: tuple[str, ...] | None = None,
        memory_seconds: float | None = None,
        secrets: object = None,
        state: object = None,
    ) -> None:
        self.lane, self._workshop = lane, Workshop(folder, self.pace)
        self._images = None if images is None else tuple(one.split(":")[0] for one in images)
        self._memory = memory_seconds
        self._api, self._cluster = lane.cluster.api, lane.cluster
        self._names: list[str] = []
        jobs = f"/apis/batch/v1/namespaces/{lane.namespace}/jobs"
        self._jobs, self._pods = jobs, f"/api/v1/namespaces/{lane.namespace}/pods"
        self._sets = f"{lanes.JOBSETS}/namespaces/{lane.namespace}/jobsets"
        self._mirrors = [Mirror(self._api, path, self._hear).start() for path in (jobs, self._sets)]
        for mirror in self._mirrors:
            mirror.synced.wait(60)
        self._wire = Wire(self._cluster.site.ports["kube-apiserver"]).__enter__()
        who = self._access()
        super().__init__(access.client(who, lambda: who), self._kubernetes(), lane.queue)
        self._open.push(self._wire)
        self.play(Script())

    def close(self) -> None:
        """End all; no two processes may ever have written at the same time."""
        super().close()
        for mirror in self._mirrors:
            mirror.stop()
        self.rivalry.share(self.lane, QUOTA, QUOTA)
        lanes.empty(self.lane)
        assert self._workshop.overlaps == [], "two processes wrote at the same time"

    def _access(self) -> access.ClusterAccess:
        """Return what `airflow` has, but over a line that can be cut."""
        config = yaml.safe_load(self._cluster.kubeconfig("airflow").read_text())
        token = config["users"][0]["user"]["token"]
        authority = access.read_certificates(str(self._cluster.site.authority))
        return access.ClusterAccess(
            f"https://127.0.0.1:{self._wire.port}", f"Bearer {token}", authority
        )

    def _kubernetes(self) -> KubernetesBackend:
        rivalry, namespace = self.rivalry, self.lane.namespace
        terms = ClusterTerms(priority_classes=rivalry.classes, node_type_label=HOSTNAME)
        return KubernetesBackend(
            ClusterSettings("rig", namespace, dialect=rivalry.dialect, terms=terms)
        )

    def _settle(self) -> None:
        until(self._is_settled, "the start of all that can start")

    def fields(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        found = {"command": self._workshop.command, "node_type": self.lane.name, **spec}
        grace = found.get("termination_grace_period", 30)
        found["termination_grace_period"] = max(1, round(grace * self.pace))
        orders = {}
        if self._images is not None and spec["image"].split(":")[0] not in self._images:
            orders[f"{ORDER}image-error"] = "1"
        if self._memory:
            orders[f"{ORDER}oom-after"] = str(self._memory * self.pace)
        return {**found, "annotations": {**spec.get("annotations", {}), **orders}}

    # -- what trainings do

    def play(self, script: Script) -> None:
        self._workshop.play(script)

    def _keep_busy(self, is_busy: bool) -> None:
        self._workshop.keep_busy(is_busy)

    def _look_round(self) -> None:
        self._workshop.look_round()

    def names(self) -> list[str]:
        return [name for name in self._names if name.startswith("train")]

    def lives(self, name: str) -> bool:
        return self._workshop.lives(name)

    def _hear(self, old: Object | None, new: Object | None) -> None:
        if old is None and new is not None and not new["metadata"].get("ownerReferences"):
            self._names.append(new["metadata"]["name"])

    def _standing(self, name: str) -> list[Object]:
        labels = [f"{label}={name}" for label in (JOB_NAME, SET_NAME)]
        lists = [self._api.get(self._pods, labelSelector=one)["items"] for one in labels]
        return [pod for pods in lists for pod in pods if pod["status"].get("phase") not in ENDED]

    def _is_settled(self) -> bool:
        jobs = [job for kind in (self._jobs, self._sets) for job in self._api.get(kind)["items"]]
        return all(self._stands(job) for job in jobs)

    def _stands(self, job: Object) -> bool:
        """Tell whether nothing more is to be expected of a Job at once."""
        status, metadata = job.get("status") or {}, job["metadata"]
        owners = metadata.get("ownerReferences") or [metadata]
        name = owners[0]["name"]
        if job["spec"].get("suspend"):
            return not self.rivalry.suspended or self._is_queued(metadata["uid"])
        is_over = status.get("conditions") or status.get("failed")
        if is_over or "deletionTimestamp" in metadata or not name.startswith("train"):
            return True
        pods = self._standing(name)
        return bool(pods) and all(self._is_placed(name, pod) for pod in pods)

    def _is_queued(self, uid: str) -> bool:
        """Tell whether Kueue has said that a Job must wait."""
        path = f"{KUEUES}/namespaces/{self.lane.namespace}/workloads"
        mine = [
            condition
            for one in self._api.get(path)["items"]
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences") or ())
            for condition in (one.get("status") or {}).get("conditions") or ()
        ]
        return any(one["type"] == "QuotaReserved" and one["status"] == "False" for one in mine)

    def _is_placed(self, name: str, pod: Object) -> bool:
        status = pod["status"]
        if status.get("phase") == "Running":
            return self.lives(name)
        conditions = status.get("conditions") or ()
        if any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions):
            return True
        orders = pod["metadata"].get("annotations") or {}
        return any(key.startswith(ORDER) for key in orders) and bool(pod["spec"].get("nodeName"))

    # -- what others do

    def rival(self, gpus: int) -> None:
        self._contend("rival", gpus)
        until(partial(self._holds, "rival"), "the rival's start")

    def _contend(self, name: str, gpus: int) -> None:
        self._api.create(self._jobs, self.rivalry.rival(self.lane, name, gpus))

    def _holds(self, name: str) -> bool:
        return any(pod["status"].get("phase") == "Running" for pod in self._standing(name))

    def reclaim(self, name: str) -> None:
        self._await_life(name)
        self._take(name, lambda: self._contend("taker", 2 * QUOTA))
        pods = [one["metadata"]["name"] for one in self._standing("taker")]
        self._api.delete(f"{self._jobs}/taker")
        for pod in pods:
            self._api.remove(f"{self._pods}/{pod}", grace=0)

    def _await_life(self, name: str) -> None:
        if self._is_acting and name not in self._workshop.seen:
            raise TooEarly
        until(partial(self.lives, name), f"a life of {name}")

    def _take(self, name: str, act: Callable[[], object]) -> None:
        """Let somebody take the pods that a workload has now."""
        self._keep_busy(True)
        victims = {pod["metadata"]["uid"] for pod in self._standing(name)}

        def are_leaving() -> bool:
            pods = [one for one in self._standing(name) if one["metadata"]["uid"] in victims]
            return all("deletionTimestamp" in pod["metadata"] for pod in pods)

        self.rivalry.share(self.lane, 0, 2 * QUOTA)
        act()
        until(are_leaving, f"the eviction of {name}")
        self.rivalry.share(self.lane, QUOTA, QUOTA)
        self._plan()

    def evict_without_words(self, name: str) -> None:
        self._await_life(name)
        for pod in self._standing(name):
            self._api.delete(f"{self._pods}/{pod['metadata']['name']}", None)

    # -- what goes wrong

    def outage(self, seconds: float) -> None:
        self._wire.refuse()
        self._later(seconds, self._wire.accept)

    def fill(self, seconds: float) -> None:
        full = self._open.enter_context(ExitStack())
        hard = {"count/jobs.batch": "0"}
        full.enter_context(faults.full(self._cluster, self.lane.namespace, hard))
        self._later(seconds, full.close)

    def lose_node(self) -> None:
        raise NotImplementedError("no controller of the rig tells that a node is lost")

    def hide(self) -> None:
        self._without({"pods": "get list watch", "events": "get list watch"})

    def forbid(self, method: str) -> None:
        self._without({"jobs": VERBS[method]})

    def _without(self, rights: Mapping[str, str]) -> None:
        place = self._cluster, "airflow", self.lane.namespace
        self._open.enter_context(faults.without_rights(*place, rights))

    def restart(self) -> None:
        for part in ("kube-apiserver", "kube-controller-manager", "kai"):
            self._cluster.restart(part)


class ConditionRig(LaneRig):
    """The same, with KAI told to mark the pods that it evicts."""

    def __init__(self, lane: Lane, folder: Path, **details: Any) -> None:
        lane.cluster.set_eviction_condition(True)
        super().__init__(lane, folder, **details)

    def close(self) -> None:
        """End all that goes on, and tell KAI otherwise."""
        super().close()
        self._cluster.set_eviction_condition(False)


class PlainRig(LaneRig):
    """A lane without queues, where priorities alone decide."""

    knows = LaneRig.knows - {"queues"}
    rivalry = PLAIN


class KueueRig(LaneRig):
    """A lane with Kueue."""

    rivalry = KUEUE

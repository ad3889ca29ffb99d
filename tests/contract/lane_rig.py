"""The world C: a lane of the rig, that is a real API server, with everybody's hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from airflow_runai.backends import access
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.core.manifests import ClusterTerms
from tests.contract.crowds import Crowd, ServedByWatches
from tests.contract.lane_objects import LaneObjects
from tests.contract.real_time import RealTimeRig, TooEarly
from tests.contract.rig import Script
from tests.contract.rivalry import KAI, KUEUE, PLAIN, QUOTA, Rivalry
from tests.contract.workshop import Workshop
from tests.rig import faults, lanes, users
from tests.rig.api import Mirror, Object
from tests.rig.lanes import Lane
from tests.rig.waiting import until
from tests.rig.wire import Wire

T = TypeVar("T")
HOSTNAME = "kubernetes.io/hostname"
VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
ORDER = "rig.airflow-runai/"


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
            "gang scheduling",
            "reasons",
            "secret",
            "crowds",
            "logs",
        }
    )
    words: Mapping[str, str] = {
        "spent": "failed with exit code 3 (Error); Job has reached the specified backoff limit",
        "cut short": "Kubernetes counts",
        "preempted": "preempted by",
        "share": '"gpu-fraction": "0.5"',
    }
    pace, grain = 0.05, 2.0
    sight = 10.0  # on a busy machine; no wait looks by itself within that time
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
        self._tokens: list[users.Token] = []
        self._held: access.ClusterAccess | None = None
        queued = self.rivalry.suspended
        self._objects = LaneObjects(self._api, lane.namespace, self.lives, is_queued=queued)
        self._jobs, self._pods = self._objects.jobs, self._objects.pods
        kinds = self._jobs, self._objects.sets
        self._mirrors = [Mirror(self._api, path, self._hear).start() for path in kinds]
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

    def _access(self, token: str = "") -> access.ClusterAccess:
        """Return what `airflow` has, but over a line that can be cut."""
        config = yaml.safe_load(self._cluster.kubeconfig("airflow").read_text())
        token = token or config["users"][0]["user"]["token"]
        authority = access.read_certificates(str(self._cluster.site.authority))
        return access.ClusterAccess(
            f"https://127.0.0.1:{self._wire.port}", f"Bearer {token}", authority
        )

    def _obtain(self) -> access.ClusterAccess:
        """Return the same with a token of its own."""
        self._tokens.append(users.issue(self._api))
        return self._access(self._tokens[-1].text)

    def _crowd(self) -> Crowd:
        client = access.async_client(self._held or self._obtain(), self._obtain)
        cluster = cast(KubernetesBackend, self.backend).cluster
        return Crowd(ServedByWatches(cluster), client, ServerClock(), self.asked)

    def _kubernetes(self) -> KubernetesBackend:
        rivalry, namespace = self.rivalry, self.lane.namespace
        terms = ClusterTerms(priority_classes=rivalry.classes, node_type_label=HOSTNAME)
        return KubernetesBackend(
            ClusterSettings("rig", namespace, dialect=rivalry.dialect, terms=terms)
        )

    def _settle(self) -> None:
        until(self._objects.are_settled, "the start of all that can start")

    def fields(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        self._keep_busy(True)  # a busy machine may take longer to start it than its work takes
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

    def stored(self, name: str) -> str:
        return self._objects.marks(name)

    def lives(self, name: str) -> bool:
        return self._workshop.lives(name)

    def _hear(self, old: Object | None, new: Object | None) -> None:
        if old is None and new is not None and not new["metadata"].get("ownerReferences"):
            self._names.append(new["metadata"]["name"])

    # -- what others do

    def rival(self, gpus: int) -> None:
        self._contend("rival", gpus)
        until(partial(self._holds, "rival"), "the rival's start")

    def _contend(self, name: str, gpus: int) -> None:
        self._api.create(self._jobs, self.rivalry.rival(self.lane, name, gpus))

    def _holds(self, name: str) -> bool:
        return any(pod["status"].get("phase") == "Running" for pod in self._objects.standing(name))

    def reclaim(self, name: str) -> None:
        self._await_life(name)
        self._take(name, lambda: self._contend("taker", 2 * QUOTA))
        pods = [one["metadata"]["name"] for one in self._objects.standing("taker")]
        self._api.delete(f"{self._jobs}/taker")
        for pod in pods:
            self._api.remove(f"{self._pods}/{pod}", grace=0)

    def _await_life(self, name: str) -> None:
        if self._is_acting and not self._workshop.was_seen(name):
            raise TooEarly
        until(partial(self.lives, name), f"a life of {name}")

    def _take(self, name: str, act: Callable[[], object]) -> None:
        """Let somebody take the pods that a workload has now."""
        self._keep_busy(True)
        victims = {pod["metadata"]["uid"] for pod in self._objects.standing(name)}

        def are_leaving() -> bool:
            pods = [
                one for one in self._objects.standing(name) if one["metadata"]["uid"] in victims
            ]
            return all("deletionTimestamp" in pod["metadata"] for pod in pods)

        self.rivalry.share(self.lane, 0, 2 * QUOTA)
        act()
        until(are_leaving, f"the eviction of {name}")
        self.rivalry.share(self.lane, QUOTA, QUOTA)
        self._plan()

    def evict_without_words(self, name: str) -> None:
        self._await_life(name)
        for pod in self._objects.standing(name):
            self._api.delete(f"{self._pods}/{pod['metadata']['name']}", None)

    # -- what goes wrong

    def expire_credentials(self) -> None:
        super().expire_credentials()
        self._held = self._obtain()
        users.revoke(self._api, self._tokens[-1])

    @property
    def logins(self) -> int:
        return len(self._tokens)

    def drop(self) -> None:
        self._wire.cut()

    def forget(self) -> None:
        faults.expire_history(self._cluster)

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

    knows = LaneRig.knows - {"queues", "gang scheduling"}
    rivalry = PLAIN


class KueueRig(LaneRig):
    """A lane with Kueue: it suspends whom it evicts, and a suspended Job counts no pod."""

    knows = LaneRig.knows | {"eviction ends nothing"}
    rivalry = KUEUE

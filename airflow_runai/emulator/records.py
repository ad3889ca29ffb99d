"""
The data of the embedded Run:ai: workloads, their pods, their history.

Plain data with the few derived values that all readers need. It decides nothing; ``lifecycle.py``
changes it.
"""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from airflow_runai.emulator import phases
from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.quantities import gpus_per_pod

DEFAULT_GRACE_SECONDS = 30.0
DEFAULT_BACKOFF_LIMIT = 6


@dataclass
class Event:
    """One Kubernetes event."""

    type: str
    reason: str
    message: str
    source: str
    object_kind: str
    object_name: str
    object_id: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Record:
    """One line of a workload's history: a phase with its message, or an event."""

    at: float
    phase: str = ""
    message: str = ""
    event: Event | None = None


@dataclass
class Pod:
    """One pod of one incarnation."""

    id: str
    name: str
    index: int
    role: str
    node: str
    gpus: tuple[int, ...]
    share: float
    created_at: float
    started_at: float | None = None
    completed_at: float | None = None
    deleted_at: float | None = None
    phase: str = "Pending"
    exit_code: int | None = None

    @property
    def incarnation(self) -> int:
        """The workload's incarnation that it belongs to, from 1."""
        # Its name carries the number, counted from 0, at the end.
        return int(self.name.rsplit("-", 1)[1]) + 1

    @property
    def slot(self) -> Slot:
        """Its devices on its node."""
        return Slot(self.node, tuple(self.gpus), self.share)

    @property
    def is_live(self) -> bool:
        """Whether it holds its GPUs now."""
        return self.deleted_at is None and self.completed_at is None

    @property
    def held_gpus(self) -> float:
        """GPUs that it holds, or held."""
        return self.share * len(self.gpus)


@dataclass
class Departure:
    """
    Why the pods of a workload are being stopped, and when they must have ended.

    :param next_phase: the phase once they are gone.
    :param deadline: when they are killed, epoch seconds.
    """

    why: str
    next_phase: str
    message: str
    deadline: float
    killed: bool = False

    @property
    def by_platform(self) -> bool:
        """Whether the platform stops the workload, not its user."""
        return self.why in ("preempted", "restart")


@dataclass
class EmulatedWorkload:
    """One workload; it is kept after its end and its deletion."""

    id: str
    name: str
    kind: str
    project_id: str
    cluster_id: str
    created_at: float
    created_by: str
    spec: dict[str, Any]
    extras: dict[str, Any] = field(default_factory=dict)
    phase: str = phases.CREATING
    phase_message: str = ""
    phase_reason: str = ""
    phase_at: float = 0.0
    desired: str = "Running"
    incarnation: int = 0
    failures: int = 0
    succeeded: int = 0
    claims: bool = False
    not_before: float = 0.0
    missing_claim: str = ""
    pending_seconds: float = 0.0
    running_seconds: float = 0.0
    last_nodes: list[str] = field(default_factory=list)
    departure: Departure | None = None
    completed_at: float | None = None
    deleted_at: float | None = None
    pods: list[Pod] = field(default_factory=list)
    history: list[Record] = field(default_factory=list)

    @property
    def live_pods(self) -> list[Pod]:
        """Pods that hold GPUs now."""
        # The pods of an incarnation end together, so the live ones are the last.
        live = list(takewhile(lambda pod: pod.is_live, reversed(self.pods)))
        return live[::-1]

    @property
    def held_gpus(self) -> float:
        """GPUs that its pods hold now."""
        return sum(pod.held_gpus for pod in self.live_pods)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing will happen to it unless a user acts."""
        if self.departure is not None or self.desired == "Deleted":
            return False
        suspended = self.phase == phases.STOPPED and self.desired == "Stopped"
        return suspended or self.phase in phases.ENDED

    @property
    def backoff_limit(self) -> int:
        """How often a failed pod is started again."""
        return int(self.spec.get("backoffLimit", DEFAULT_BACKOFF_LIMIT))

    def grace_seconds(self, limit: float | None) -> float:
        """Seconds between SIGTERM and SIGKILL, of which the emulator allows at most the limit."""
        # 0 is a wish, too: to be killed at once.
        requested = self.spec.get("terminationGracePeriodSeconds")
        grace = DEFAULT_GRACE_SECONDS if requested is None else float(requested)
        return grace if limit is None else min(grace, limit)

    @property
    def priority_class(self) -> str:
        """The name of its priority; ``low`` by default."""
        return str(self.spec.get("priorityClass") or "low")

    @property
    def preemptible(self) -> bool:
        """As the spec says; by default, a priority below 100 is preemptible."""
        # Who asks for it explicitly gets it, whatever the priority says.
        requested = self.spec.get("preemptibility")
        if requested == "semi-preemptible":
            return self._may_shrink
        return requested != "non-preemptible" if requested else self.priority < 100

    @property
    def _may_shrink(self) -> bool:
        """Whether some of its pods are beyond the minimum that it needs."""
        least, pods = self.spec.get("minReplicas") or 0, self.spec.get("numWorkers") or 1
        return 0 < int(least) < int(pods)

    @property
    def priority(self) -> int:
        """The number behind the name."""
        return PRIORITIES.get(self.priority_class, PRIORITIES["low"])

    @property
    def gpu_demand(self) -> tuple[float, ...]:
        """GPUs per pod, master first."""
        worker = gpus_per_pod(self.spec.get("compute") or {})
        if self.kind != "distributed":
            return (worker,) * self.wave
        workers = (worker,) * int(self.spec.get("numWorkers") or 1)
        if not self.has_master:
            return workers
        own = self.extras.get("masterSpec")
        master = worker if own is None else gpus_per_pod(own.get("compute") or {})
        return (master, *workers)

    @property
    def wave(self) -> int:
        """Pods of a set that run at once: ``parallelism``, or those that are left."""
        at_once = int(self.spec.get("parallelism") or 1)
        return max(1, min(at_once, self._left))

    @property
    def is_last_wave(self) -> bool:
        """Whether nothing is left of the set after these pods; always so without a set."""
        return self.kind == "distributed" or self.wave >= self._left

    @property
    def _left(self) -> int:
        # As in Kubernetes: without a number, as many as run at once.
        whole = self.spec.get("completions") or self.spec.get("parallelism") or 1
        return int(whole) - self.succeeded

    @property
    def has_master(self) -> bool:
        """Whether its first pod is a master beside the workers."""
        same = bool(self.extras.get("masterSpecSameAsWorker"))
        return self.kind == "distributed" and (same or self.extras.get("masterSpec") is not None)


PRIORITIES = {
    "very-low": 25,
    "low": 40,
    "medium-low": 65,
    "medium": 80,
    "medium-high": 90,
    "high": 125,
    "very-high": 150,
    "train": 50,
    "interactive-preemptible": 75,
    "build": 100,
}
#: Names of 2.21 and before.
OLD_PRIORITIES = (
    "train",
    "interactive-preemptible",
    "build",
)


def to_json(workload: EmulatedWorkload) -> dict[str, Any]:
    """Turn a workload into plain JSON values."""
    return dataclasses.asdict(workload)


def from_json(data: dict[str, Any]) -> EmulatedWorkload:
    """Read a workload back: the inverse of :func:`to_json`."""
    workload = EmulatedWorkload(**data)
    workload.pods = [
        Pod(
            **{
                **pod,
                "gpus": tuple(pod["gpus"]),
            }
        )
        for pod in data["pods"]
    ]
    workload.departure = Departure(**data["departure"]) if data["departure"] else None
    workload.history = [_record(record) for record in data["history"]]
    return workload


def _record(data: dict[str, Any]) -> Record:
    event = Event(**data["event"]) if data["event"] else None
    return Record(
        **{
            **data,
            "event": event,
        }
    )

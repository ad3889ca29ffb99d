"""The least rights of a worker and of a triggerer, and what each is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from airflow_runai.backends.kubernetes.api.paths import (
    CLAIMS,
    CLUSTER_QUEUES,
    EVENTS,
    JOBS,
    JOBSETS,
    KUEUE_WORKLOADS,
    LOCAL_QUEUES,
    NODES,
    POD_LOGS,
    PODS,
    PRIORITY_CLASSES,
    QUEUES,
    WORKLOAD_PRIORITIES,
    ResourceKind,
)
from airflow_runai.backends.kubernetes.api.rights import Right
from airflow_runai.core.manifests import DIALECTS
from airflow_runai.core.manifests.volumes import new_claims
from airflow_runai.core.storage import Storage
from airflow_runai.core.task_purpose import TaskPurpose

WORKER, TRIGGERER = "worker", "triggerer"
#: Verbs, as RBAC names them, in the order in which they are shown.
VERBS = ("get", "list", "watch", "create", "patch", "delete")
_KAI, _KUEUE = ("kai", "runai"), ("kueue",)

#: Which tasks need a right, and how to tell; all others do without it.
ONE_JOB, GANGS = "trainings that are not distributed", "distributed trainings"
VOLUMES = "trainings with a new volume in `storage.pvc`"
PRIORITIES = "trainings with a `priority`"
WAITS, HOLDS = "tasks that wait", "tasks that wait with `deferrable=False`"
LOGS = "tasks that show logs"
SUSPENDS = '`on_kill="suspend"`'
ROOM = "`submit_when`, and the sensor for quota"
_USES: Mapping[str, Callable[[TaskPurpose], bool]] = {
    "": lambda task: True,
    ONE_JOB: lambda task: task.spec.distributed is None,
    GANGS: lambda task: task.spec.distributed is not None,
    VOLUMES: lambda task: any(new_claims(task.spec.storage or Storage(), "")),
    PRIORITIES: lambda task: task.spec.priority is not None,
    WAITS: lambda task: task.awaited,
    HOLDS: lambda task: task.awaited and not task.deferred,
    LOGS: lambda task: task.awaited and task.shows_log,
    SUSPENDS: lambda task: task.on_kill == "suspend",
    ROOM: lambda task: task.looks_for_room,
}


@dataclass(frozen=True)
class NeededRight:
    """
    What must be allowed for one kind of object.

    :param worker: verbs, with spaces between, for what submits, stops and reads.
    :param triggerer: the same, for what waits.
    :param without: what does not work without it, as a clause.
    :param needed: nothing is submitted without it.
    :param dialects: where it is used.
    :param only_for: the tasks that need it; empty for all.
    :param in_cluster: the objects belong to no namespace: it takes a ClusterRole.
    """

    kind: ResourceKind
    worker: str
    triggerer: str
    without: str
    needed: bool = False
    dialects: tuple[str, ...] = tuple(DIALECTS)
    only_for: str = ""
    in_cluster: bool = False

    def verbs(self, who: str) -> tuple[str, ...]:
        """Return the verbs of a worker or a triggerer."""
        return tuple((self.worker if who == WORKER else self.triggerer).split())

    def is_used_by(self, task: TaskPurpose | None) -> bool:
        """Whether a task makes use of it; ``None`` stands for any task."""
        return task is None or _USES[self.only_for](task)


_BY_LISTS = "changes are seen when everything is listed, every `poll_interval`"
_UNSEEN = "how a pod ended that went between two looks stays unknown"
_BY_READS = "each training is read by itself, every `poll_interval`"
_NO_HISTORY = (
    "what has happened is forgotten with the pods, `backoff_limit` may be exceeded, and nothing is "
    "suspended or resumed"
)
_NOT_STOPPED = "nothing is stopped: neither by `on_kill` nor by a timeout or a clear"
_NO_QUEUE = "a queue that does not exist is not noticed, and what it allows stays unknown"
_NO_ROOM = "how many GPUs are free stays unknown"

NEEDS = (
    NeededRight(JOBS, "list", "", "nothing is submitted", needed=True),
    NeededRight(
        JOBS,
        "get create",
        "get",
        "nothing is submitted or waited for",
        needed=True,
        only_for=ONE_JOB,
    ),
    NeededRight(JOBS, "", "list", _BY_READS, only_for=WAITS),
    NeededRight(JOBS, "", "watch", _BY_LISTS, only_for=WAITS),
    NeededRight(JOBS, "patch", "patch", _NO_HISTORY, only_for=ONE_JOB),
    NeededRight(JOBS, "delete", "delete", _NOT_STOPPED, only_for=ONE_JOB),
    NeededRight(
        JOBSETS,
        "get list create",
        "get",
        "nothing is submitted or waited for",
        needed=True,
        only_for=GANGS,
    ),
    NeededRight(JOBSETS, "", "list", _BY_READS, only_for=GANGS),
    NeededRight(JOBSETS, "", "watch", _BY_LISTS, only_for=GANGS),
    NeededRight(JOBSETS, "patch", "patch", _NO_HISTORY, only_for=GANGS),
    NeededRight(JOBSETS, "delete", "delete", _NOT_STOPPED, only_for=GANGS),
    NeededRight(
        PODS,
        "list",
        "list",
        "nodes, exit codes and preemptions stay unknown, logs are not shown, and a replacement "
        "waits for the whole grace period",
    ),
    NeededRight(PODS, "watch", "", _UNSEEN, only_for=HOLDS),
    NeededRight(PODS, "", "watch", _BY_LISTS, only_for=WAITS),
    NeededRight(POD_LOGS, "get", "get", "logs are not shown", only_for=LOGS),
    NeededRight(
        EVENTS,
        "list",
        "list",
        "who preempted a training, and why one does not start, stay unknown",
        only_for=WAITS,
    ),
    NeededRight(CLAIMS, "create", "", "nothing is submitted", needed=True, only_for=VOLUMES),
    NeededRight(QUEUES, "get", "get", _NO_QUEUE, dialects=_KAI, in_cluster=True),
    NeededRight(QUEUES, "list", "list", _NO_ROOM, dialects=_KAI, only_for=ROOM, in_cluster=True),
    NeededRight(
        PRIORITY_CLASSES,
        "get",
        "",
        "a priority that does not exist is noticed late",
        dialects=("kai", "runai", "plain"),
        only_for=PRIORITIES,
        in_cluster=True,
    ),
    NeededRight(
        KUEUE_WORKLOADS,
        "list",
        "list",
        "evictions by Kueue are taken for suspensions, why a training waits stays unknown, and "
        "nothing is suspended or resumed",
        dialects=_KUEUE,
    ),
    NeededRight(
        KUEUE_WORKLOADS,
        "get patch",
        "get patch",
        "nothing is suspended or resumed",
        dialects=_KUEUE,
        only_for=SUSPENDS,
    ),
    NeededRight(LOCAL_QUEUES, "get", "get", _NO_QUEUE, dialects=_KUEUE),
    NeededRight(
        CLUSTER_QUEUES,
        "get",
        "get",
        "what a queue allows stays unknown",
        dialects=_KUEUE,
        in_cluster=True,
    ),
    NeededRight(
        CLUSTER_QUEUES, "list", "list", _NO_ROOM, dialects=_KUEUE, only_for=ROOM, in_cluster=True
    ),
    NeededRight(
        WORKLOAD_PRIORITIES,
        "get",
        "",
        "a priority that does not exist is not noticed",
        dialects=_KUEUE,
        only_for=PRIORITIES,
        in_cluster=True,
    ),
    NeededRight(
        NODES,
        "list",
        "list",
        "how many GPUs are free, and whether any node is large enough, stay unknown",
        only_for=ROOM,
        in_cluster=True,
    ),
)


def granted(dialect: str, who: str) -> Iterator[tuple[NeededRight, tuple[str, ...]]]:
    """Yield each kind that must be allowed, by its first need, with all its verbs."""
    wanted: dict[ResourceKind, tuple[NeededRight, set[str]]] = {}
    for need in NEEDS:
        if dialect in need.dialects and need.verbs(who):
            wanted.setdefault(need.kind, (need, set()))[1].update(need.verbs(who))
    for need, verbs in wanted.values():
        yield need, tuple(verb for verb in VERBS if verb in verbs)


def rights_of(
    dialect: str, who: Sequence[str], task: TaskPurpose | None = None
) -> tuple[Right, ...]:
    """
    Return what must be allowed, one right for each thing that does not work without it.

    :param dialect: one of :data:`DIALECTS`.
    :param who: :data:`WORKER`, :data:`TRIGGERER` or both.
    :param task: which rights it makes use of; ``None`` for those of any task.
    """
    return tuple(_rights(dialect, who, task))


def _rights(dialect: str, who: Sequence[str], task: TaskPurpose | None) -> Iterator[Right]:
    for need in NEEDS:
        verbs = {verb for one in who for verb in need.verbs(one)}
        if verbs and dialect in need.dialects and need.is_used_by(task):
            shown = tuple(verb for verb in VERBS if verb in verbs)
            yield Right(need.kind, shown, need.without, need.needed, need.in_cluster)

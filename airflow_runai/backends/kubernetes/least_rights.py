"""The least rights of a worker and of a triggerer, and what each is for."""

from __future__ import annotations

from collections.abc import Iterator
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

WORKER, TRIGGERER = "worker", "triggerer"
_KAI, _KUEUE = ("kai", "runai"), ("kueue",)


@dataclass(frozen=True)
class NeededRight:
    """
    What must be allowed for one kind of object.

    :param worker: verbs, with spaces between, for what submits, stops and reads.
    :param triggerer: the same, for what waits.
    :param without: what does not work without it, as a clause.
    :param needed: nothing works without it.
    :param dialects: where it is used.
    :param only_for: the trainings that need it; empty for all.
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


NEEDS = (
    NeededRight(
        JOBS,
        "get list create patch delete",
        "get list watch patch delete",
        "no training is submitted or waited for; without `watch`, it is listed again and again",
        needed=True,
    ),
    NeededRight(
        JOBSETS,
        "get list create patch delete",
        "get list watch patch delete",
        "no such training is submitted or waited for",
        only_for="distributed trainings",
    ),
    NeededRight(
        PODS,
        "list",
        "list watch",
        "nodes, exit codes and preemptions stay unknown, and a replacement waits for the whole "
        "grace period",
    ),
    NeededRight(POD_LOGS, "get", "get", "no logs are shown"),
    NeededRight(
        EVENTS,
        "list",
        "list",
        "who preempted a training, and why one does not start, stay unknown",
    ),
    NeededRight(
        CLAIMS,
        "create",
        "",
        "the volume is not made",
        only_for="trainings with a new volume in `storage.pvc`",
    ),
    NeededRight(
        QUEUES,
        "get list",
        "get list",
        "a queue that does not exist is not noticed, and the sensor for quota has no figures",
        dialects=_KAI,
        in_cluster=True,
    ),
    NeededRight(
        PRIORITY_CLASSES,
        "get",
        "",
        "a priority that does not exist is noticed late",
        dialects=("kai", "runai", "plain"),
        only_for="trainings with a `priority`",
        in_cluster=True,
    ),
    NeededRight(
        KUEUE_WORKLOADS,
        "get list patch",
        "get list watch patch",
        "no training is suspended or resumed, evictions by Kueue are taken for suspensions, and "
        "why a training waits stays unknown",
        dialects=_KUEUE,
    ),
    NeededRight(
        LOCAL_QUEUES,
        "get list",
        "get list",
        "a queue that does not exist is not noticed, and the sensor for quota has no figures",
        dialects=_KUEUE,
    ),
    NeededRight(
        CLUSTER_QUEUES,
        "get list",
        "get list",
        "the sensor for quota has no figures",
        dialects=_KUEUE,
        in_cluster=True,
    ),
    NeededRight(
        WORKLOAD_PRIORITIES,
        "get",
        "",
        "a priority that does not exist is not noticed",
        dialects=_KUEUE,
        only_for="trainings with a `priority`",
        in_cluster=True,
    ),
    NeededRight(
        NODES,
        "list",
        "list",
        "how many GPUs are free stays unknown",
        in_cluster=True,
    ),
)


def least_rights(dialect: str, who: str, *, distributed: bool = False) -> tuple[Right, ...]:
    """
    Return what a worker or triggerer must be allowed.

    :param dialect: one of :data:`DIALECTS`.
    :param who: :data:`WORKER` or :data:`TRIGGERER`.
    :param distributed: whether there are distributed trainings.
    """
    return tuple(_rights(dialect, who, distributed))


def _rights(dialect: str, who: str, distributed: bool) -> Iterator[Right]:
    for need in NEEDS:
        verbs = need.verbs(who)
        if verbs and dialect in need.dialects and (distributed or need.kind is not JOBSETS):
            yield Right(need.kind, verbs, need.without, need.needed)

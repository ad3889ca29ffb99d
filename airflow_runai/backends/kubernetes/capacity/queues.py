"""Reads what the queue of a project allows, in each dialect that has queues."""

from __future__ import annotations

from airflow_runai.backends.kubernetes.api.lists import read_all
from airflow_runai.backends.kubernetes.api.paths import CLUSTER_QUEUES, LOCAL_QUEUES, QUEUES
from airflow_runai.backends.kubernetes.api.writes import Object, read
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.throttle import LOOK
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.objects import word
from airflow_runai.core.kubernetes.queue_bounds import (
    QueueBounds,
    bounds_of_cluster_queue,
    bounds_of_queues,
    held_in_cluster_queues,
    held_in_queues,
)
from airflow_runai.core.project import Project
from airflow_runai.core.texts import cut
from airflow_runai.errors import NotFound, NotResolved

#: Queues above each other; KAI itself advises two.
_LEVELS = 8


def bounds_of(cluster: KnownCluster, project: Project) -> Flow[QueueBounds | None]:
    """
    Return what a project's queue allows; ``None`` where no queue is known to say it.

    :raises NotResolved: if a queue does not exist; nothing starts in it then.
    """
    dialect = yield from cluster.dialect()
    if dialect.queues is None:
        return None
    if dialect.name == "kueue":
        return (yield from _of_kueue(cluster, project))
    return bounds_of_queues((yield from _chain(cluster, project.name)))


def held_in_all(cluster: KnownCluster) -> Flow[float | None]:
    """Add up what all queues of a cluster hold; ``None`` where they do not tell."""
    dialect = yield from cluster.dialect()
    if dialect.queues is None:
        return None
    kueue = dialect.name == "kueue"
    kind = yield from cluster.kind(CLUSTER_QUEUES if kueue else QUEUES)
    queues = yield from read_all(kind.collection(None), (), dict)
    return held_in_cluster_queues(queues) if kueue else held_in_queues(queues)


def _chain(cluster: KnownCluster, name: str) -> Flow[list[Object]]:
    """Return a Queue of KAI and those above it."""
    kind = yield from cluster.kind(QUEUES)
    found: list[Object] = []
    while name and len(found) < _LEVELS:
        found.append((yield from _existing("Queue", name, kind.object(None, name))))
        name = word(found[-1], "spec", "parentQueue")
    return found


def _of_kueue(cluster: KnownCluster, project: Project) -> Flow[QueueBounds]:
    door = yield from cluster.kind(LOCAL_QUEUES)
    path = door.object(project.id, project.name)
    local = yield from _existing("LocalQueue", project.name, path)
    name = word(local, "spec", "clusterQueue")
    kind = yield from cluster.kind(CLUSTER_QUEUES)
    return bounds_of_cluster_queue(
        (yield from _existing("ClusterQueue", name, kind.object(None, name)))
    )


def _existing(what: str, name: str, path: str) -> Flow[Object]:
    try:
        return (yield from read(path, rank=LOOK))
    except NotFound as error:
        raise NotResolved(
            f"project: {what} {cut(repr(name), 80)} doesn't exist; name another queue, or have it "
            "made"
        ) from error

"""Lists of the trainings that this provider has made in a namespace, or in all, with their pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_runai.backends.kubernetes.api.lists import read_objects
from airflow_runai.backends.kubernetes.api.objects import meta
from airflow_runai.backends.kubernetes.api.paths import JOBS, JOBSETS, PODS, Discovery, ResourceKind
from airflow_runai.backends.kubernetes.api.refusals import Sight
from airflow_runai.backends.kubernetes.trainings.readings import TrainingReading, read_training
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.manifests.labels import IDENTITY_LABEL, MANAGED_BY


@dataclass(frozen=True, slots=True)
class ListedTraining:
    """
    A training in a list.

    :param object: the Job or JobSet, as the list shows it.
    """

    reading: TrainingReading
    object: Mapping[str, Any]


def kinds_of(cluster: Discovery) -> list[tuple[str, ResourceKind]]:
    """Return the kinds of trainings that a cluster serves."""
    sets = [("JobSet", JOBSETS)] if cluster.serves(JOBSETS) else []
    return [("Job", JOBS), *sets]


def list_trainings(
    cluster: Discovery, sight: Sight, namespace: str | None, identity: str = ""
) -> Flow[list[ListedTraining]]:
    """
    List trainings, oldest first.

    :param sight: what may be seen of the cluster.
    :param namespace: ``None`` for all that may be seen.
    :param identity: of the only task instance that is meant.
    """
    labels = {**MANAGED_BY, **({IDENTITY_LABEL: identity} if identity else {})}
    selector = [("labelSelector", ",".join(f"{key}={value}" for key, value in labels.items()))]
    mirror, objects = Mirror(), dict[str, Mapping[str, Any]]()

    def take(kind: str, resource: ResourceKind) -> Flow[None]:
        items, version = yield from read_objects(resource.collection(namespace), selector)
        mirror.listed(kind, items, version, (yield from now()))
        if resource is not PODS:
            objects.update({meta(item, "uid"): item for item in items})

    for kind, resource in kinds_of(cluster):
        if resource is JOBS:
            yield from take(kind, resource)
        else:  # who has no right to it has none of them
            yield from sight.attempt(namespace, kind, partial(take, kind, resource))
    if (yield from sight.attempt(namespace, "Pod", partial(take, "Pod", PODS))) is not None:
        mirror.refused("Pod")
    return list(_readings(mirror, objects))


def _readings(mirror: Mirror, objects: Mapping[str, Mapping[str, Any]]) -> Iterator[ListedTraining]:
    for training in mirror.trainings():
        reading = read_training(mirror, training.uid)
        if reading is not None:
            yield ListedTraining(reading, objects[training.uid])

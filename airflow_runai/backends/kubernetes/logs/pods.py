"""Which log a pod has, when it lived, and what must not be shown of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_runai.backends.kubernetes.api.writes import Object
from airflow_runai.backends.kubernetes.logs.pod_log import PodLog
from airflow_runai.backends.redaction import Redaction
from airflow_runai.core import mask
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.kubernetes.facts import NEVER
from airflow_runai.core.kubernetes.objects import at, rows, word
from airflow_runai.core.kubernetes.pod_facts import PodFacts, read_pod
from airflow_runai.core.kubernetes.presence import Presence
from airflow_runai.core.workload import named_values

_MAIN = "kubectl.kubernetes.io/default-container"


def log_of(pod: Object, container: str | None = None) -> PodLog:
    """
    Return where a pod's log is.

    :param container: default: the one of the training.
    """
    first = next(rows(pod, "spec", "containers"), {})
    main = word(pod, "metadata", "annotations", _MAIN) or word(first, "name")
    namespace, name, uid = (word(pod, "metadata", key) for key in ("namespace", "name", "uid"))
    return PodLog(namespace, name, uid, container or main)


def facts_of(pods: Sequence[Object]) -> dict[str, PodFacts]:
    """Return what each pod says of itself, by its uid."""
    return {one.uid: one for one in (read_pod(pod, Presence()) for pod in pods)}


def redaction_of(pod: Object) -> Redaction:
    """Return what hides the secrets among the variables of a pod."""
    return Redaction(*mask.values(_variables(pod)))


def _variables(pod: Object) -> Iterator[tuple[str, Any]]:
    for key in ("containers", "initContainers"):
        for container in rows(pod, "spec", key):
            yield from named_values(at(container, "env"))


def row_of(pod: PodFacts) -> JsonObject:
    """Return when a pod lived, as ``core/incarnations.py`` reads it."""
    ended = ended_at(pod)
    over = {} if ended == NEVER else {"completedAt": ended}
    return {"id": pod.uid, "name": pod.name, "createdAt": pod.made, **over}


def ended_at(pod: PodFacts) -> float:
    """Return when a pod's container ended, epoch seconds; infinite while it has not."""
    return (pod.end.at or pod.made) if pod.end else NEVER

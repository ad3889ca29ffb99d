"""From a request to the objects that are sent, or to all reasons why they cannot be written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.manifests.checks import problems
from airflow_runai.core.manifests.dialects import Dialect, Registry
from airflow_runai.core.manifests.jobs import job
from airflow_runai.core.manifests.jobsets import job_set
from airflow_runai.core.manifests.labels import IDENTITY_LABEL, MANAGED_BY
from airflow_runai.core.manifests.members import members
from airflow_runai.core.manifests.metadata import priority_class
from airflow_runai.core.manifests.overlay import overlaid
from airflow_runai.core.manifests.request import ManifestRequest
from airflow_runai.core.manifests.volumes import new_claims
from airflow_runai.core.storage import Storage
from airflow_runai.errors import SpecError

#: Bytes. A server refuses objects of 1.5 MiB, and the cluster adds its own to each.
MAX_SIZE = 2**20


@dataclass(frozen=True)
class Precondition:
    """
    Something that must exist before the create, because the server would take it in silence.

    :param place: what names it, for messages.
    """

    registry: Registry
    name: str
    place: str


@dataclass(frozen=True)
class Manifests:
    """
    Everything that one generation needs.

    :param workload: the Job or JobSet.
    :param claims: to be created before it; one that is there is taken, and none is ever removed.
    :param preconditions: to be looked up before it.
    """

    workload: JsonObject
    claims: tuple[JsonObject, ...] = ()
    preconditions: tuple[Precondition, ...] = ()


def render(request: ManifestRequest, dialect: Dialect) -> Manifests:
    """
    Write the objects of one generation.

    :raises SpecError: listing everything that the platform cannot express or would refuse.
    """
    found = problems(request, dialect)
    if found:
        raise SpecError(found)
    make = job_set if request.spec.distributed else job
    workload = overlaid(make(request, dialect), request.spec.for_kubernetes or {})
    _check_size(workload)
    return Manifests(workload, tuple(_claims(request)), tuple(_preconditions(request, dialect)))


def _check_size(workload: JsonObject) -> None:
    size = len(json.dumps(workload, ensure_ascii=False).encode())
    if size > MAX_SIZE:
        problem = (
            f"spec: {size} bytes as a {workload['kind']}; allowed: {MAX_SIZE}; put it in a file"
        )
        raise SpecError([problem])


def _claims(request: ManifestRequest) -> Iterator[JsonObject]:
    made: set[str] = set()
    for member in members(request.spec):
        for name, spec in new_claims(member.spec.storage or Storage(), request.base):
            if name not in made:
                made.add(name)
                yield _claim(request, name, spec)


def _claim(request: ManifestRequest, name: str, spec: JsonObject) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "namespace": request.namespace,
            # No generation: the claim outlives it.
            "labels": {**MANAGED_BY, IDENTITY_LABEL: request.identity},
        },
        "spec": spec,
    }


def _preconditions(request: ManifestRequest, dialect: Dialect) -> Iterator[Precondition]:
    if dialect.queues and request.queue:
        yield Precondition(dialect.queues, request.queue, "project")
    priority = priority_class(request)
    if priority:
        yield Precondition(dialect.priority_classes, priority, "spec.priority")

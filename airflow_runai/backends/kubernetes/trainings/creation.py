"""Creating one generation of a training: what it needs is looked up or made first."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

from airflow_runai.backends.kubernetes.api import writes
from airflow_runai.backends.kubernetes.api.objects import meta
from airflow_runai.backends.kubernetes.api.paths import (
    CLAIMS,
    JOBS,
    JOBSETS,
    Discovery,
    ResourceKind,
)
from airflow_runai.backends.kubernetes.api.refusals import confirmed
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.kubernetes.trainings.evidence import writers
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.kubernetes.objects import word
from airflow_runai.core.manifests import (
    Dialect,
    ManifestRequest,
    Manifests,
    Precondition,
    origin_labels,
    render,
)
from airflow_runai.core.manifests.labels import IDENTITY_LABEL
from airflow_runai.core.naming import parts_of
from airflow_runai.core.origin import CONTEXT_VARIABLES
from airflow_runai.core.project import Project
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.texts import plural
from airflow_runai.errors import (
    AlreadyExists,
    Forbidden,
    NotFound,
    NotResolved,
    StillWriting,
)


def manifests(
    project: Project, request: SubmissionRequest, dialect: Dialect, settings: ClusterSettings
) -> Manifests:
    """Write the objects of a request; raises ``SpecError`` for what cannot be said here."""
    base, generation = parts_of(request.name)
    wanted = ManifestRequest(
        spec=request.spec,
        base=base,
        generation=generation,
        namespace=project.id,
        queue=project.name or settings.project if dialect.queue_labels else None,
        labels=_origin(request),
        variables=request.own_variables,
        terms=settings.terms,
    )
    return render(wanted, dialect)


def _origin(request: SubmissionRequest) -> dict[str, str]:
    """Return the labels for people, where the request knows of its task."""
    environment = request.spec.environment or {}
    dag, task, run = (environment.get(name) for name in CONTEXT_VARIABLES)
    if not (isinstance(dag, str) and isinstance(task, str) and isinstance(run, str)):
        return {}
    index = request.mark.map_index if request.mark else -1
    return origin_labels(dag, task, run, request.try_number, index)


def create(
    namespace: str, made: Manifests, cluster: Discovery, *, dry_run: bool = False
) -> Flow[writes.Created]:
    """
    Create the objects of one generation.

    :param cluster: what the cluster serves.
    :param dry_run: see :func:`writes.create`.
    :raises NotResolved: before anything is made, if the queue or the priority class is unknown: the
        server would take them in silence, and no pod would ever start.
    """
    resource = JOBSETS if made.workload["kind"] == "JobSet" else JOBS
    _require_kind(resource, cluster, "spec.distributed")
    for one in made.preconditions:
        yield from require(one, namespace, cluster)
    for claim in made.claims:
        # One that is there is that of an earlier generation, or the author's own.
        with suppress(AlreadyExists):
            yield from writes.create(CLAIMS.collection(namespace), claim, dry_run=dry_run)
    path = resource.collection(namespace)
    return (yield from writes.create(path, made.workload, dry_run=dry_run))


def let_nobody_write(namespace: str, workload: JsonObject) -> Flow[None]:
    """
    Check that no pod of the same task instance may write, whatever has become of its Job.

    A Job may be deleted before anybody has learned its uid, and its pods go on: for their grace, or
    as long as they like. Where our name is taken, the create shows by whom.

    :raises StillWriting: if one may.
    """
    name, kind = meta(workload, "name"), JOBSETS if workload["kind"] == "JobSet" else JOBS
    standing = yield from writers(namespace, _identity(workload), IDENTITY_LABEL)
    if not standing:
        return
    try:
        yield from confirmed(partial(writes.read, kind.object(namespace, name)))
    except NotFound:
        raise StillWriting(
            f"{name}: {plural(standing, 'pod')} of an earlier workload of this task may still "
            "write the same checkpoints; waiting for their end"
        ) from None


def _identity(workload: JsonObject) -> str:
    return word(workload, "metadata", "labels", IDENTITY_LABEL)


def require(one: Precondition, namespace: str, cluster: Discovery) -> Flow[None]:
    """
    Check that something exists; what may not be looked up is taken for there.

    :raises NotResolved: if it does not.
    """
    registry = one.registry
    kind = _require_kind(ResourceKind(registry.group, "", registry.resource), cluster, one.place)
    request = Request("GET", kind.object(namespace if registry.namespaced else None, one.name))
    try:
        accept(request, (yield request))
    except Forbidden:
        return
    except NotFound as error:
        where = f" in namespace {namespace!r}" if registry.namespaced else ""
        raise NotResolved(
            f"{one.place}: {one.name!r}: the cluster has no {registry.resource} of this name"
            f"{where}; name one that it has, or let an administrator make it"
        ) from error


def _require_kind(kind: ResourceKind, cluster: Discovery, place: str) -> ResourceKind:
    """Return the kind in a version that the cluster serves."""
    if not kind.group:
        return replace(kind, version="v1")
    served = cluster.version_of(kind)
    if served is None:
        raise NotResolved(
            f"{place}: the cluster serves no {kind.resource} of {kind.group}; install what brings "
            "them, or correct `dialect` in the connection"
        )
    return served

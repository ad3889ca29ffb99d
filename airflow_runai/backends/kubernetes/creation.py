"""Creating one generation of a training: what it needs is looked up or made first."""

from __future__ import annotations

from airflow_runai.backends.kubernetes import writes
from airflow_runai.backends.kubernetes.paths import CLAIMS, JOBS, JOBSETS, ResourceKind
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.kubernetes.status import accept
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.manifests import (
    Dialect,
    ManifestRequest,
    Manifests,
    Precondition,
    origin_labels,
    render,
)
from airflow_runai.core.naming import parts_of
from airflow_runai.core.origin import CONTEXT_VARIABLES
from airflow_runai.core.project import Project
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.errors import AlreadyExists, Forbidden, NotFound, NotResolved


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


def create(namespace: str, made: Manifests, *, dry_run: bool = False) -> Flow[writes.Created]:
    """
    Create the objects of one generation.

    :param dry_run: see :func:`writes.create`.
    :raises NotResolved: before anything is made, if the queue or the priority class is unknown: the
        server would take them in silence, and no pod would ever start.
    """
    for one in made.preconditions:
        yield from require(one, namespace)
    for claim in made.claims:
        try:
            yield from writes.create(CLAIMS.collection(namespace), claim, dry_run=dry_run)
        except AlreadyExists:
            continue  # that of an earlier generation, or the author's own
    resource = JOBSETS if made.workload["kind"] == "JobSet" else JOBS
    path = resource.collection(namespace)
    return (yield from writes.create(path, made.workload, dry_run=dry_run))


def require(one: Precondition, namespace: str) -> Flow[None]:
    """
    Check that something exists; what may not be looked up is taken for there.

    :raises NotResolved: if it does not.
    """
    registry = one.registry
    kind = ResourceKind(registry.group, _VERSIONS.get(registry.group, "v1"), registry.resource)
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


_VERSIONS = {"scheduling.run.ai": "v2", "kueue.x-k8s.io": "v1beta1"}

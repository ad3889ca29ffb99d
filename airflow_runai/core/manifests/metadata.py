"""Names, labels and annotations of everything that a manifest makes."""

from __future__ import annotations

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.manifests.dialects import Dialect
from airflow_runai.core.manifests.labels import (
    BUDGET_ANNOTATION,
    FINGERPRINT_ANNOTATION,
    GENERATION_LABEL,
    IDENTITY_LABEL,
    MANAGED_BY,
    SPECIFICATION_ANNOTATION,
)
from airflow_runai.core.manifests.request import ManifestRequest
from airflow_runai.core.manifests.sparse import sparse
from airflow_runai.core.manifests.specification import specification
from airflow_runai.core.spec import WorkloadSpec

#: Failures that an author allows without saying so, as Run:ai has it.
DEFAULT_BUDGET = 6


def budget(spec: WorkloadSpec) -> int:
    """Return how many failures of its own the author allows."""
    return DEFAULT_BUDGET if spec.backoff_limit is None else spec.backoff_limit


def object_metadata(request: ManifestRequest, dialect: Dialect) -> JsonObject:
    """Return the metadata of the Job or JobSet itself."""
    annotations = {
        **(request.spec.annotations or {}),
        FINGERPRINT_ANNOTATION: request.spec.fingerprint(),
        SPECIFICATION_ANNOTATION: specification(request.spec, salt=request.base),
        BUDGET_ANNOTATION: str(budget(request.spec)),
    }
    return {
        "name": request.name,
        "namespace": request.namespace,
        "labels": {
            **(request.spec.labels or {}),
            **own_labels(request),
            **scheduling_labels(request, dialect),
        },
        "annotations": annotations,
    }


def part_metadata(request: ManifestRequest, dialect: Dialect, spec: WorkloadSpec) -> JsonObject:
    """
    Return the metadata of a pod, or of a Job in a JobSet.

    :param spec: of these pods.
    """
    scheduling = scheduling_labels(request, dialect) if dialect.labels_pods else {}
    return sparse(
        labels={**(spec.labels or {}), **own_labels(request), **scheduling},
        annotations=dict(spec.annotations or {}),
    )


def own_labels(request: ManifestRequest) -> dict[str, str]:
    """Return the labels by which the provider finds its objects."""
    return {
        **request.labels,
        **MANAGED_BY,
        IDENTITY_LABEL: request.identity,
        GENERATION_LABEL: str(request.generation),
    }


def scheduling_labels(request: ManifestRequest, dialect: Dialect) -> dict[str, str]:
    """Return the labels that the scheduler or the queue reads."""
    spec = request.spec
    read: dict[str | None, str | None] = {
        **dict.fromkeys(dialect.queue_labels, request.queue),
        # Written always: the schedulers' own default follows from the priority class.
        dialect.preemptibility_label: spec.preemptibility or "preemptible",
        dialect.priority_label: priority_class(request),
        dialect.node_pool_label: next(iter(spec.node_pools or ()), None),
    }
    return {name: text for name, text in read.items() if name and text}


def priority_class(request: ManifestRequest) -> str | None:
    """Return the priority class of a workload, as the cluster calls it."""
    word = request.spec.priority
    return request.terms.priority_classes.get(word, word) if word else None

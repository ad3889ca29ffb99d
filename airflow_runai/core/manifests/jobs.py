"""A training of one pod, or of several that know nothing of each other, as a ``batch/v1`` Job."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.manifests import variables
from airflow_runai.core.manifests.dialects import Dialect
from airflow_runai.core.manifests.metadata import budget, object_metadata
from airflow_runai.core.manifests.pods import PodPlan, pod_template
from airflow_runai.core.manifests.request import ManifestRequest
from airflow_runai.core.manifests.sparse import sparse
from airflow_runai.core.spec import WorkloadSpec

#: Ends that Kubernetes may count as failures though they are none: an eviction without words looks
#: like one. The provider counts the author's budget itself.
HEADROOM = 20
#: Seconds for which an ended workload stays: a week, so that an outage hides no end.
DEFAULT_DELETION = 7 * 24 * 3600
#: The platform took the pod: the condition that it then has.
TAKEN = {"type": "DisruptionTarget", "status": "True"}


def job(request: ManifestRequest, dialect: Dialect) -> JsonObject:
    """Return the Job."""
    spec = request.spec
    plan = PodPlan(request, dialect, spec, tuple(_injected(spec)))
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": object_metadata(request, dialect),
        "spec": sparse(
            suspend=dialect.suspended or None,
            backoffLimit=budget(spec) + HEADROOM,
            completions=spec.completions or 1,
            parallelism=spec.parallelism or 1,
            completionMode="Indexed" if _is_indexed(spec) else "NonIndexed",
            # Else a new pod writes beside one that is still saving.
            podReplacementPolicy="Failed",
            podFailurePolicy={"rules": [_rule(spec)]},
            ttlSecondsAfterFinished=deletion(spec),
            template=pod_template(plan),
        ),
    }


def deletion(spec: WorkloadSpec) -> int:
    """Return for how many seconds an ended workload stays."""
    return DEFAULT_DELETION if spec.auto_deletion is None else spec.auto_deletion


def _rule(spec: WorkloadSpec) -> JsonObject:
    action = "FailJob" if spec.terminate_after_preemption else "Ignore"
    return {"action": action, "onPodConditions": [TAKEN]}


def _is_indexed(spec: WorkloadSpec) -> bool:
    return (spec.completions or 1) > 1


def _injected(spec: WorkloadSpec) -> Iterator[JsonObject]:
    yield variables.label("JOB_UUID", "batch.kubernetes.io/controller-uid")
    if _is_indexed(spec):
        index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
        yield variables.field("POD_INDEX", index)
    else:
        yield variables.value("POD_INDEX", "0")

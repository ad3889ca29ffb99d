"""
A distributed training as a ``jobset.x-k8s.io/v1alpha2`` JobSet: one gang of a master and workers.

The gang starts, is preempted and returns as a whole. Every pod has a Job of its own, so that its
rank is a label, and so that the end of one pod is the end of one Job and restarts the set.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.manifests import variables
from airflow_runai.core.manifests.dialects import Dialect
from airflow_runai.core.manifests.jobs import HEADROOM, TAKEN, deletion
from airflow_runai.core.manifests.members import MASTER, GangMember, members
from airflow_runai.core.manifests.metadata import budget, object_metadata, part_metadata
from airflow_runai.core.manifests.pods import PodPlan, pod_template
from airflow_runai.core.manifests.request import ManifestRequest
from airflow_runai.core.manifests.sparse import sparse
from airflow_runai.core.pod_spec import MAIN
from airflow_runai.core.spec import WorkloadSpec

#: Ended by SIGTERM: how an evicted member ends where no condition says so.
TERMINATED = 143
#: Where the ranks meet, as PyTorch has it.
PORT = 23456
_RANK = "jobset.sigs.k8s.io/job-global-index"


def job_set(request: ManifestRequest, dialect: Dialect) -> JsonObject:
    """Return the JobSet; what its webhook would fill in is written out."""
    spec = request.spec
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": object_metadata(request, dialect),
        "spec": sparse(
            suspend=dialect.suspended or None,
            # With another order KAI makes a gang of each member instead of all.
            startupPolicy={"startupPolicyOrder": "AnyOrder"},
            successPolicy={"operator": "All"},
            network={"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            failurePolicy=_failure_policy(spec),
            ttlSecondsAfterFinished=deletion(spec),
            replicatedJobs=[_replicated(request, dialect, member) for member in members(spec)],
        ),
    }


def _failure_policy(spec: WorkloadSpec) -> JsonObject:
    ends = spec.terminate_after_preemption
    return {
        "maxRestarts": budget(spec) + HEADROOM,
        # Else pods of two attempts write at once.
        "restartStrategy": "BlockingRecreate",
        "rules": [
            {
                "name": "taken",
                "action": "FailJobSet" if ends else "RestartJobSetAndIgnoreMaxRestarts",
                "onJobFailureReasons": ["PodFailurePolicy"],
            }
        ],
    }


def _replicated(request: ManifestRequest, dialect: Dialect, member: GangMember) -> JsonObject:
    plan = PodPlan(request, dialect, member.spec, tuple(_injected(request)))
    return {
        "name": member.name,
        "replicas": member.pods,
        "template": {
            "metadata": part_metadata(request, dialect, member.spec),
            "spec": {
                # A pod that returned alone would wait for ever for partners of the old attempt.
                "backoffLimit": 0,
                "completions": 1,
                "parallelism": 1,
                "completionMode": "Indexed",
                "podReplacementPolicy": "Failed",
                "podFailurePolicy": {"rules": _taken_rules()},
                "template": pod_template(plan),
            },
        },
    }


def _taken_rules() -> list[JsonObject]:
    terminated = {"containerName": MAIN, "operator": "In", "values": [TERMINATED]}
    return [
        {"action": "FailJob", "onPodConditions": [TAKEN]},
        {"action": "FailJob", "onExitCodes": terminated},
    ]


def _injected(request: ManifestRequest) -> Iterator[JsonObject]:
    """Yield what the ranks need to find each other, for ``torch.distributed`` and ``torchrun``."""
    spec = request.spec
    pods = str(sum(member.pods for member in members(spec)))
    # JobSet names hosts by set, member, Job and pod, in a domain of the set's name.
    master = f"{request.name}-{MASTER}-0-0.{request.name}"
    yield variables.label("JOB_UUID", "jobset.sigs.k8s.io/jobset-uid")
    for name in ("POD_INDEX", "RANK", "PET_NODE_RANK"):
        yield variables.label(name, _RANK)
    for name in ("WORLD_SIZE", "PET_NNODES"):
        yield variables.value(name, pods)
    for name in ("MASTER_ADDR", "PET_MASTER_ADDR"):
        yield variables.value(name, master)
    for name in ("MASTER_PORT", "PET_MASTER_PORT"):
        yield variables.value(name, str(PORT))

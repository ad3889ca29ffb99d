"""The pod template: one main container, which is the training, and what surrounds it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.manifests import variables
from airflow_runai.core.manifests.dialects import Dialect
from airflow_runai.core.manifests.metadata import part_metadata, priority_class
from airflow_runai.core.manifests.request import ManifestRequest
from airflow_runai.core.manifests.resources import gpus_in_words, resources, share_annotations
from airflow_runai.core.manifests.sparse import sparse
from airflow_runai.core.manifests.volumes import (
    HOME,
    MountedVolume,
    home,
    mounted_volumes,
    shared_memory,
)
from airflow_runai.core.pod_spec import MAIN, Compute, Security, Toleration
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.storage import Storage

#: Seconds between SIGTERM and SIGKILL, as Kubernetes has it.
DEFAULT_GRACE = 30


@dataclass(frozen=True)
class PodPlan:
    """
    What one pod template is made from.

    :param spec: of these pods; the master's may differ from the workers'.
    :param injected: variables that depend on the kind of the object.
    """

    request: ManifestRequest
    dialect: Dialect
    spec: WorkloadSpec
    injected: tuple[JsonObject, ...]

    @property
    def compute(self) -> Compute:
        """What a pod asks for; nothing by default."""
        return self.spec.compute or Compute()

    @property
    def grace(self) -> int:
        """Seconds between SIGTERM and SIGKILL."""
        grace = self.spec.termination_grace_period
        return DEFAULT_GRACE if grace is None else grace


def pod_template(plan: PodPlan) -> JsonObject:
    """Return the template."""
    metadata = part_metadata(plan.request, plan.dialect, plan.spec)
    annotations = {**metadata.get("annotations", {}), **share_annotations(plan.compute)}
    return {
        "metadata": sparse(**{**metadata, "annotations": annotations}),
        "spec": _pod(plan, list(_volumes(plan))),
    }


def _pod(plan: PodPlan, volumes: list[MountedVolume]) -> JsonObject:
    spec, security = plan.spec, plan.spec.security or Security()
    return sparse(
        schedulerName=plan.dialect.scheduler,
        serviceAccountName=plan.request.terms.service_account,
        restartPolicy="Never",
        terminationGracePeriodSeconds=plan.grace,
        priorityClassName=priority_class(plan.request) if plan.dialect.pod_priority else None,
        imagePullSecrets=[{"name": name} for name in dict.fromkeys(spec.image_pull_secrets or ())],
        nodeSelector=_node_selector(plan),
        tolerations=[_toleration(toleration) for toleration in spec.tolerations or ()],
        securityContext=_pod_security(security),
        hostIPC=security.host_ipc,
        hostNetwork=security.host_network,
        # Else pods on the host's network do not find each other by name.
        dnsPolicy="ClusterFirstWithHostNet" if security.host_network else None,
        initContainers=[volume.init_container for volume in volumes if volume.init_container],
        containers=[_main(plan, volumes)],
        volumes=[{"name": volume.name, **volume.source} for volume in volumes],
    )


def _main(plan: PodPlan, volumes: list[MountedVolume]) -> JsonObject:
    spec = plan.spec
    return sparse(
        name=MAIN,
        image=spec.image,
        imagePullPolicy=spec.image_pull_policy,
        command=shlex.split(spec.command or ""),
        args=shlex.split(spec.args or ""),
        workingDir=spec.working_dir,
        env=_environment(plan),
        resources=resources(plan.compute),
        volumeMounts=[{"name": volume.name, **volume.mount} for volume in volumes],
        securityContext=_container_security(spec.security or Security()),
    )


def _environment(plan: PodPlan) -> list[JsonObject]:
    own = {**plan.request.variables, **(plan.spec.environment or {})}
    return variables.environment([*_injected(plan), *plan.injected], own)


def _injected(plan: PodPlan) -> Iterator[JsonObject]:
    """Yield what Run:ai tells every container, so that the same script runs on both platforms."""
    request = plan.request
    yield variables.value("JOB_NAME", request.name)
    yield variables.field("POD_UUID", "metadata.uid")
    yield variables.field("NODE_NAME", "spec.nodeName")
    yield variables.value("RUNAI_JOB_NAME", request.name)
    yield variables.value("RUNAI_PROJECT", request.queue or request.namespace)
    gpus = gpus_in_words(plan.compute)
    if gpus:
        yield variables.value("RUNAI_NUM_OF_GPUS", gpus)
    yield variables.value("RUNAI_GRACE_SECONDS", str(plan.grace))
    if plan.spec.create_home_dir:
        yield variables.value("HOME", HOME)


def _volumes(plan: PodPlan) -> Iterable[MountedVolume]:
    request = plan.request
    storage = plan.spec.storage or Storage()
    yield from mounted_volumes(storage, request.base, request.terms.git_image)
    if plan.compute.large_shm:
        yield shared_memory()
    if plan.spec.create_home_dir:
        yield home()


def _node_selector(plan: PodPlan) -> dict[str, str]:
    label = plan.request.terms.node_type_label or plan.dialect.node_type_label
    return {label: plan.spec.node_type} if label and plan.spec.node_type else {}


def _toleration(toleration: Toleration) -> JsonObject:
    return sparse(
        key=toleration.key,
        operator=toleration.operator,
        value=toleration.value,
        effect=None if toleration.effect == "Any" else toleration.effect,
        tolerationSeconds=toleration.seconds,
    )


def _pod_security(security: Security) -> JsonObject:
    """Return the identity, which init containers and sidecars share."""
    profile = security.seccomp_profile
    return sparse(
        runAsUser=security.run_as_uid,
        runAsGroup=security.run_as_gid,
        runAsNonRoot=security.run_as_non_root,
        supplementalGroups=groups(security),
        seccompProfile={"type": profile} if profile else None,
    )


def groups(security: Security) -> list[int]:
    """
    Return the supplemental groups.

    :raises ValueError: if one is no number.
    """
    listed = security.supplemental_groups or ""
    return [int(entry) for entry in listed.split(",") if entry.strip()]


def _container_security(security: Security) -> JsonObject:
    return sparse(
        capabilities=sparse(add=list(security.capabilities or ())),
        allowPrivilegeEscalation=security.allow_privilege_escalation,
        readOnlyRootFilesystem=security.read_only_root,
    )

"""
Where each field of a specification goes: one table, from which documentation and tests are made.

Fields that have no row here have one among the refusals.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.core.manifests.refusals import ALL

KINDS = ("Job", "JobSet")
#: What the first word of a place means in an object of each kind; lists have no index.
PLACES: dict[str, dict[str, str]] = {
    "Job": {
        "job": "spec",
        "pod": "spec.template.spec",
        "volumes": "spec.template.spec.volumes",
        "main": "spec.template.spec.containers",
        "mounts": "spec.template.spec.containers.volumeMounts",
        "pod-annotations": "spec.template.metadata.annotations",
        "claim": "claim",
    },
    "JobSet": {
        "job": "spec.replicatedJobs.template.spec",
        "pod": "spec.replicatedJobs.template.spec.template.spec",
        "volumes": "spec.replicatedJobs.template.spec.template.spec.volumes",
        "main": "spec.replicatedJobs.template.spec.template.spec.containers",
        "mounts": "spec.replicatedJobs.template.spec.template.spec.containers.volumeMounts",
        "pod-annotations": "spec.replicatedJobs.template.spec.template.metadata.annotations",
        "set": "spec",
        "claim": "claim",
    },
}
#: Everything that has labels and annotations: the object, and what it makes.
METADATA: dict[str, tuple[str, ...]] = {
    "Job": ("metadata", "spec.template.metadata"),
    "JobSet": (
        "metadata",
        "spec.replicatedJobs.template.metadata",
        "spec.replicatedJobs.template.spec.template.metadata",
    ),
}


@dataclass(frozen=True)
class FieldPlace:
    """
    Where one field goes.

    :param places: paths, each beginning with a word of :data:`PLACES`, or with ``labels`` or
        ``annotations``; empty: it decides nothing here, and ``remark`` says why.
    """

    field: str
    places: tuple[str, ...]
    remark: str = ""
    dialects: tuple[str, ...] = ALL
    kinds: tuple[str, ...] = KINDS

    def paths(self, kind: str) -> list[str]:
        """Return the places in an object of a kind, as full paths without indexes."""
        return [path for place in self.places for path in _paths(place, kind)]


def _paths(place: str, kind: str) -> list[str]:
    word, dot, rest = place.partition(".")
    if word in ("labels", "annotations"):
        return [f"{home}.{place}" for home in METADATA[kind]]
    return [f"{PLACES[kind][word]}{dot}{rest}"]


def _volume(kind: str, *fields: str) -> tuple[FieldPlace, ...]:
    """Return the rows of a kind of data source that is one volume."""
    return tuple(
        FieldPlace(f"storage.{kind}[].{name}", tuple(places.split()), "; ".join(remark))
        for name, places, *remark in (field.split(" | ") for field in fields)
    )


_SHARE_AS_WHOLE = "`1` is a whole GPU"

MAPPING: tuple[FieldPlace, ...] = (
    FieldPlace("image", ("main.image",)),
    FieldPlace("image_pull_policy", ("main.imagePullPolicy",)),
    FieldPlace("image_pull_secrets", ("pod.imagePullSecrets.name",)),
    FieldPlace(
        "command", ("main.command",), "split as a shell would; Kubernetes replaces `$(NAME)`"
    ),
    FieldPlace("args", ("main.args",), "the same"),
    FieldPlace("working_dir", ("main.workingDir",)),
    FieldPlace("environment", ("main.env",), "Kubernetes replaces `$(NAME)` in values"),
    FieldPlace("compute.gpu_devices", ("main.resources.limits.nvidia.com/gpu", "main.env")),
    FieldPlace(
        "compute.gpu_portion",
        ("pod-annotations.gpu-fraction", "main.env"),
        _SHARE_AS_WHOLE,
        ("kai", "runai"),
    ),
    FieldPlace(
        "compute.gpu_portion",
        ("main.resources.limits.nvidia.com/gpu", "main.env"),
        f"{_SHARE_AS_WHOLE}, less is refused",
        ("kueue", "plain"),
    ),
    FieldPlace(
        "compute.gpu_memory",
        ("pod-annotations.gpu-memory", "main.env"),
        "in MiB, rounded up; how many GPUs that is, is not said",
        ("kai", "runai"),
    ),
    FieldPlace("compute.cpu_cores", ("main.resources.requests.cpu",), "rounded up to thousandths"),
    FieldPlace("compute.cpu_cores_limit", ("main.resources.limits.cpu",), "the same"),
    FieldPlace("compute.cpu_memory", ("main.resources.requests.memory",)),
    FieldPlace("compute.cpu_memory_limit", ("main.resources.limits.memory",)),
    FieldPlace("compute.large_shm", ("volumes", "mounts"), "in memory, at `/dev/shm`"),
    FieldPlace("compute.extended_resources", ("main.resources.limits",)),
    *_volume(
        "pvc",
        "claim | volumes.persistentVolumeClaim.claimName | default for a new claim: "
        "from the workload's name",
        "path | mounts.mountPath",
        "existing | claim | false: made first, taken if it is there, never removed",
        "read_only | volumes.persistentVolumeClaim.readOnly mounts.readOnly",
        "ephemeral | volumes claim | removed with each pod, so empty after every interruption",
        "size | claim.spec.resources.requests.storage",
        "storage_class | claim.spec.storageClassName",
        "access_mode | claim.spec.accessModes | default `ReadWriteMany`",
    ),
    *_volume(
        "nfs",
        "path | volumes.nfs.path",
        "mount_path | mounts.mountPath",
        "server | volumes.nfs.server",
        "read_only | volumes.nfs.readOnly mounts.readOnly",
    ),
    *_volume(
        "host_path",
        "path | volumes.hostPath.path",
        "mount_path | mounts.mountPath",
        "read_only | mounts.readOnly",
        "mount_propagation | mounts.mountPropagation",
    ),
    *_volume(
        "git",
        "repository | pod.initContainers.env | cloned anew for each pod",
        "path | pod.initContainers mounts.mountPath",
        "branch | pod.initContainers.env",
        "revision | pod.initContainers.env",
    ),
    *_volume(
        "config_map",
        "name | volumes.configMap.name",
        "mount_path | mounts.mountPath",
        "sub_path | mounts.subPath",
    ),
    *_volume("secret", "name | volumes.secret.secretName", "mount_path | mounts.mountPath"),
    *_volume(
        "empty_dir",
        "path | mounts.mountPath",
        "medium | volumes.emptyDir",
        "size_limit | volumes.emptyDir",
    ),
    FieldPlace(
        "preemptibility", ("labels.kai.scheduler/preemptibility",), dialects=("kai", "runai")
    ),
    FieldPlace(
        "preemptibility", (), "every workload can be preempted there", dialects=("kueue", "plain")
    ),
    FieldPlace(
        "priority", ("labels.priorityClassName", "pod.priorityClassName"), dialects=("kai",)
    ),
    FieldPlace("priority", ("labels.priorityClassName",), dialects=("runai",)),
    FieldPlace(
        "priority",
        ("labels.kueue.x-k8s.io/priority-class",),
        "of the object only; a WorkloadPriorityClass",
        ("kueue",),
    ),
    FieldPlace("priority", ("pod.priorityClassName",), dialects=("plain",)),
    FieldPlace("node_pools", ("labels.kai.scheduler/node-pool",), "one", ("kai",)),
    FieldPlace("node_pools", ("labels.runai/node-pool",), "one", ("runai",)),
    FieldPlace(
        "node_type",
        ("pod.nodeSelector",),
        "by `node_type_label` of the connection, or `run.ai/type`",
    ),
    FieldPlace("tolerations[].name", (), "only names the entry"),
    FieldPlace("tolerations[].key", ("pod.tolerations.key",)),
    FieldPlace("tolerations[].operator", ("pod.tolerations.operator",)),
    FieldPlace("tolerations[].value", ("pod.tolerations.value",)),
    FieldPlace("tolerations[].effect", ("pod.tolerations.effect",), "`Any` is left out"),
    FieldPlace("tolerations[].seconds", ("pod.tolerations.tolerationSeconds",)),
    FieldPlace(
        "backoff_limit",
        ("job.backoffLimit",),
        "20 more: interruptions that only look like failures need room; the provider counts",
        kinds=("Job",),
    ),
    FieldPlace(
        "backoff_limit",
        ("set.failurePolicy.maxRestarts",),
        "20 more, as for a Job",
        kinds=("JobSet",),
    ),
    FieldPlace("restart_policy", (), "always `Never`"),
    FieldPlace(
        "termination_grace_period",
        ("pod.terminationGracePeriodSeconds", "main.env"),
        "default 30 s, as in Kubernetes",
    ),
    FieldPlace(
        "terminate_after_preemption",
        ("job.podFailurePolicy.rules.action",),
        "where the scheduler says that it preempts; elsewhere the provider ends it, "
        "at its next look",
        kinds=("Job",),
    ),
    FieldPlace(
        "terminate_after_preemption",
        ("set.failurePolicy.rules.action",),
        "the same",
        kinds=("JobSet",),
    ),
    FieldPlace("auto_deletion", ("job.ttlSecondsAfterFinished",), "default 7 days", kinds=("Job",)),
    FieldPlace(
        "auto_deletion", ("set.ttlSecondsAfterFinished",), "default 7 days", kinds=("JobSet",)
    ),
    FieldPlace(
        "completions",
        ("job.completions", "job.completionMode", "main.env"),
        kinds=("Job",),
    ),
    FieldPlace("parallelism", ("job.parallelism",), kinds=("Job",)),
    FieldPlace("security.run_as_uid", ("pod.securityContext.runAsUser",)),
    FieldPlace("security.run_as_gid", ("pod.securityContext.runAsGroup",)),
    FieldPlace("security.run_as_non_root", ("pod.securityContext.runAsNonRoot",)),
    FieldPlace("security.supplemental_groups", ("pod.securityContext.supplementalGroups",)),
    FieldPlace("security.uid_gid_source", (), "the ids themselves decide"),
    FieldPlace("security.capabilities", ("main.securityContext.capabilities.add",)),
    FieldPlace(
        "security.allow_privilege_escalation", ("main.securityContext.allowPrivilegeEscalation",)
    ),
    FieldPlace("security.read_only_root", ("main.securityContext.readOnlyRootFilesystem",)),
    FieldPlace("security.seccomp_profile", ("pod.securityContext.seccompProfile.type",)),
    FieldPlace("security.host_ipc", ("pod.hostIPC",)),
    FieldPlace("security.host_network", ("pod.hostNetwork", "pod.dnsPolicy")),
    FieldPlace("labels", ("labels",)),
    FieldPlace("annotations", ("annotations",)),
    FieldPlace(
        "create_home_dir",
        ("volumes", "mounts", "main.env"),
        "`/home/training`, empty after every interruption",
    ),
    FieldPlace("raw", (), "`raw.kubernetes` is merged into the object, last"),
    FieldPlace("distributed.framework", (), "PyTorch", kinds=("JobSet",)),
    FieldPlace(
        "distributed.workers",
        ("set.replicatedJobs.replicas", "main.env"),
        "of the replicated job `worker`",
        kinds=("JobSet",),
    ),
    FieldPlace(
        "distributed.master",
        ("set.replicatedJobs",),
        "of the replicated job `master`",
        kinds=("JobSet",),
    ),
)

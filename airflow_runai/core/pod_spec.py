"""The parts of a specification that describe one pod: compute, tolerations, security."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.core.fields import wire, write
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.values import (
    flag,
    named_texts,
    number,
    one_of,
    quantity,
    text,
    texts,
    whole,
)


def _write_resources(value: dict[str, str]) -> list[dict[str, str]]:
    return [{"resource": name, "quantity": entry} for name, entry in sorted(value.items())]


_PORTION = number(0, 1, "for whole GPUs use gpu_devices")


#: The container of the training: its end is that of the pod.
MAIN = "main"


@dataclass(frozen=True)
class Compute:
    """GPUs, CPUs and memory of one pod."""

    gpu_devices: int | None = wire("gpuDevicesRequest", whole(0), "GPUs of one pod")
    gpu_portion: float | None = wire(
        "gpuPortionRequest", _PORTION, "share of one GPU's memory, (0, 1]"
    )
    gpu_portion_limit: float | None = wire("gpuPortionLimit", _PORTION, "upper bound of the share")
    gpu_memory: str | None = wire(
        "gpuMemoryRequest", quantity, "GPU memory instead of a share, e.g. 10G"
    )
    gpu_memory_limit: str | None = wire("gpuMemoryLimit", quantity, "upper bound of GPU memory")
    cpu_cores: float | None = wire("cpuCoreRequest", number(0), "CPU cores")
    cpu_cores_limit: float | None = wire("cpuCoreLimit", number(0), "upper bound of CPU cores")
    cpu_memory: str | None = wire("cpuMemoryRequest", quantity, "main memory, e.g. 16G")
    cpu_memory_limit: str | None = wire("cpuMemoryLimit", quantity, "upper bound of main memory")
    large_shm: bool | None = wire(
        "largeShmRequest", flag, "large /dev/shm, for data loaders with workers"
    )
    extended_resources: dict[str, str] | None = wire(
        "extendedResources",
        named_texts,
        "other device plug-ins, name: quantity (MIG on 2.24+)",
        _write_resources,
    )

    @property
    def asks_for_gpus(self) -> bool:
        """Whether it says how much GPU it needs, in whatever unit; 0 is an answer, too."""
        amounts = (self.gpu_devices, self.gpu_portion, self.gpu_memory)
        return any(amount is not None for amount in amounts)

    def problems(self) -> list[str]:
        """Return what is wrong with fields that are right each for itself."""
        found = []
        fraction = self.gpu_portion is not None or self.gpu_memory is not None
        # A share is of one GPU, so that naming one beside it contradicts nothing.
        if fraction and self.gpu_devices not in (None, 1):
            name = "gpu_portion" if self.gpu_portion is not None else "gpu_memory"
            found.append(
                f".{name}: together with gpu_devices={self.gpu_devices}; "
                "a share is of one GPU, drop one of them"
            )
        if self.gpu_portion is not None and self.gpu_memory is not None:
            found.append(".gpu_memory: together with gpu_portion; allowed: one of the two")
        return found

    def to_wire(self) -> JsonObject:
        """Return the wire form; a share or memory also names its request type and one device."""
        written = write(self)
        if self.gpu_portion is not None or self.gpu_memory is not None:
            kind = "portion" if self.gpu_portion is not None else "memory"
            written = {"gpuDevicesRequest": 1, "gpuRequestType": kind, **written}
        return written


@dataclass(frozen=True)
class Toleration:
    """A node taint that the workload accepts."""

    name: str | None = wire("name", text, "a name for the entry")
    key: str | None = wire("key", text, "the taint's key")
    operator: str | None = wire("operator", one_of("Equal", "Exists"), "how to compare")
    value: str | None = wire("value", text, "the taint's value, with Equal")
    effect: str | None = wire(
        "effect", one_of("NoSchedule", "NoExecute", "PreferNoSchedule", "Any"), "which effect"
    )
    seconds: int | None = wire("seconds", whole(0), "for how long, seconds")


@dataclass(frozen=True)
class Security:
    """Identity and rights of the container."""

    run_as_uid: int | None = wire("runAsUid", whole(0), "user id")
    run_as_gid: int | None = wire("runAsGid", whole(0), "group id")
    run_as_non_root: bool | None = wire("runAsNonRoot", flag, "refuse to run as root")
    supplemental_groups: str | None = wire("supplementalGroups", text, "comma-separated group ids")
    uid_gid_source: str | None = wire(
        "uidGidSource", one_of("fromTheImage", "fromIdpToken", "custom"), "where ids come from"
    )
    capabilities: tuple[str, ...] | None = wire("capabilities", texts, "added Linux capabilities")
    allow_privilege_escalation: bool | None = wire(
        "allowPrivilegeEscalation", flag, "as in Kubernetes"
    )
    read_only_root: bool | None = wire("readOnlyRootFilesystem", flag, "as in Kubernetes")
    seccomp_profile: str | None = wire("seccompProfileType", text, "as in Kubernetes")
    host_ipc: bool | None = wire("hostIpc", flag, "share the host's IPC")
    host_network: bool | None = wire("hostNetwork", flag, "share the host's network")

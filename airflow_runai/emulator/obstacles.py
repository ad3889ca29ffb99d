"""
What keeps a pod from starting, in the words of Kubernetes' scheduler, kubelet and runtime.

There are no images, secrets and claims here, only the names of those that are known. Unless the
settings list them, all are.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.settings import EmulatorSettings

#: Reason and message of an event.
Words = tuple[str, str]

_RUNTIME = (
    "Error: failed to create containerd task: failed to create shim task: OCI runtime create "
    "failed: runc create failed: unable to start container process: "
)


def missing_claim(settings: EmulatorSettings, workload: EmulatedWorkload) -> str:
    """Return the name of a claim that must exist and does not; an empty text if there is none."""
    claims = (
        str(entry.get("claimName") or "")
        for entry in _volumes(workload.spec, "pvc")
        if entry.get("existingPvc")
    )
    return next((name for name in claims if not _is_known(name, settings.claims)), "")


def unschedulable(claim: str) -> list[Words]:
    """Say what the scheduler says of a pod whose claim is missing; nothing for an empty text."""
    lacking = f'0 nodes are available: persistentvolumeclaim "{claim}" not found.'
    return [("FailedScheduling", lacking)] if claim else []


def obstacles(settings: EmulatorSettings, workload: EmulatedWorkload) -> list[Words]:
    """Return why a node cannot start the workload's pods; nothing if it can."""
    image, spec = str(workload.spec["image"]), workload.spec
    words: list[Words] = []
    if settings.images and not any(fnmatchcase(image, one) for one in settings.images):
        words += _not_pulled(image)
    for name in _secrets_in_volumes(spec):
        if not _is_known(name, settings.secrets):
            failed = f'MountVolume.SetUp failed for volume "{name}" : secret "{name}" not found'
            words.append(("FailedMount", failed))
    for name in _secrets_in_variables(spec):
        if not _is_known(name, settings.secrets):
            words.append(("Failed", f'Error: secret "{name}" not found'))
    return words


def not_started(program: str, error: Exception) -> Words:
    """Say what a container runtime says of a command that cannot be run."""
    if isinstance(error, PermissionError):
        why = f'exec: "{program}": permission denied: unknown'
    elif isinstance(error, FileNotFoundError) and "/" in program:
        why = f'exec: "{program}": stat {program}: no such file or directory: unknown'
    elif isinstance(error, FileNotFoundError):
        why = f'exec: "{program}": executable file not found in $PATH: unknown'
    elif isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        why = f"exec {program}: exec format error: unknown"
    else:
        why = f"{type(error).__name__}: {error}"
    return "Failed", _RUNTIME + why


def _not_pulled(image: str) -> Iterator[Words]:
    lacking = f'failed to resolve reference "{image}": {image}: not found'
    unpacking = f'failed to pull and unpack image "{image}": {lacking}'
    yield "Failed", f'Failed to pull image "{image}": rpc error: code = NotFound desc = {unpacking}'
    yield "Failed", "Error: ErrImagePull"
    yield "BackOff", f'Back-off pulling image "{image}"'
    yield "Failed", "Error: ImagePullBackOff"


def _is_known(name: str, known: Sequence[str] | None) -> bool:
    return known is None or name in known


def _secrets_in_volumes(spec: Mapping[str, Any]) -> list[str]:
    return [str(entry.get("secret")) for entry in _volumes(spec, "secretVolume")]


def _secrets_in_variables(spec: Mapping[str, Any]) -> list[str]:
    listed = spec.get("environmentVariables") or ()
    sources = [entry.get("secret") for entry in listed if isinstance(entry, Mapping)]
    return [str(source.get("name")) for source in sources if isinstance(source, Mapping)]


def _volumes(spec: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    listed = (spec.get("storage") or {}).get(kind) or ()
    return [entry for entry in listed if isinstance(entry, Mapping)]

"""
The checks of the control plane before it accepts a workload.

They cover what the vendor documents, and what could certainly not run. Unknown keys are accepted
and kept, as by the real server.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from itertools import count
from typing import Any

from airflow_runai.emulator.records import PRIORITIES
from airflow_runai.emulator.replies import ApiError
from airflow_runai.emulator.settings import EmulatorSettings
from airflow_runai.emulator.world import World

_QUANTITY = re.compile(r"\d+(\.\d+)?([KMGTk]i?)?")
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_MAX_WORKERS = 1000
#: Ends of names that only begin as asked for: no two are equal, wherever they begin.
_SUFFIXES = count(uuid.uuid4().int)
_EXTRAS = (
    "masterSpec",
    "masterSpecSameAsWorker",
    "templateId",
)
#: The request that each ``gpuRequestType`` stands for.
_REQUESTS = {
    "portion": "gpuPortionRequest",
    "memory": "gpuMemoryRequest",
}
FRAMEWORKS = (
    "MPI",
    "PyTorch",
    "TF",
    "XGBoost",
    "JAX",
)


def admit(
    body: Any,
    kind: str,
    world: World,
    settings: EmulatorSettings,
) -> dict[str, Any]:
    """
    Check a create request and return the fields of the workload.

    :raises ApiError: 400 or 404 with a message, as the control plane answers.
    """
    spec = _spec(body)
    name = _name(body)
    project_id, cluster_id = _place(body, world)
    if world.named(name, project_id) is not None:
        message = f"workload name already exists: {name}"
        raise ApiError(settings.duplicate_name_status, message, "name")
    _check_spec(spec)
    _check_preemptibility(spec.get("preemptibility"), settings.version)
    if kind == "distributed":
        _check_distributed(body, spec)
    # A policy may forbid only what makes sense at all.
    _check_policy(spec, settings)
    return {
        "name": name,
        "kind": kind,
        "project_id": project_id,
        "cluster_id": cluster_id,
        "created_by": settings.client_id,
        "spec": dict(spec),
        "extras": {key: body[key] for key in _EXTRAS if key in body},
    }


def _spec(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        found = f"found {type(body).__name__}"
        raise ApiError(400, "request body must be a JSON object", found)
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        raise ApiError(400, "spec is required and must be an object", "spec")
    return spec


def _name(body: Mapping[str, Any]) -> str:
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise ApiError(400, "name is required", "name")
    if body.get("useGivenNameAsPrefix"):
        name = f"{name}-{next(_SUFFIXES) % 16**5:05x}"
    if len(name) > 63 or not _DNS_LABEL.fullmatch(name):
        raise ApiError(
            400,
            f"invalid name {name!r}: must be a DNS label of at most 63 characters [a-z0-9-]",
            "name",
        )
    return name


def _place(body: Mapping[str, Any], world: World) -> tuple[str, str]:
    project_id = body.get("projectId")
    cluster_id = body.get("clusterId")
    if not project_id:
        raise ApiError(400, "projectId is required", "projectId")
    if not cluster_id:
        raise ApiError(400, "clusterId is required", "clusterId")
    # A project of another cluster is as unknown as one that does not exist.
    project = world.project(str(project_id))
    if world.cluster(str(cluster_id)) is None:
        raise ApiError(400, f"cluster {cluster_id} does not exist", "clusterId")
    if project is None or project.cluster_id != cluster_id:
        raise ApiError(
            400, f"project {project_id} does not exist in cluster {cluster_id}", "projectId"
        )
    return project.id, project.cluster_id


def _check_spec(spec: Mapping[str, Any]) -> None:
    image = spec.get("image")
    if not isinstance(image, str) or not image:
        raise ApiError(400, "image is required", "spec.image")
    for key in ("command", "args"):
        _check_text(spec.get(key), key)
    _check_priority(spec.get("priorityClass"))
    for key in ("backoffLimit", "terminationGracePeriodSeconds"):
        if spec.get(key) is not None and not _is_count(spec[key]):
            raise ApiError(400, f"{key} must be an integer of 0 or more", f"spec.{key}")
    _check_parts(spec)


def _check_text(text: Any, key: str) -> None:
    is_text = isinstance(text, str) and bool(text)
    if text is not None and not is_text:
        raise ApiError(400, f"{key} must be a non-empty string", f"spec.{key}")


def _check_priority(priority: Any) -> None:
    # A list or an object cannot even be looked up.
    is_known = isinstance(priority, str) and priority in PRIORITIES
    if priority is not None and not is_known:
        names = ", ".join(PRIORITIES)
        raise ApiError(400, f"priorityClass {priority!r} does not exist: use one of {names}")


def _check_preemptibility(asked: Any, version: tuple[int, int]) -> None:
    known = ["preemptible", "non-preemptible"]
    if version >= (3, 0):
        known.append("semi-preemptible")
    # An older control plane does not know the field, and keeps it as it keeps any other.
    if asked is not None and version >= (2, 24) and asked not in known:
        message = f"preemptibility {asked!r} must be one of {', '.join(known)}"
        raise ApiError(400, message, "spec.preemptibility")


def _check_parts(spec: Mapping[str, Any]) -> None:
    """Check the keys that both workers and a master may have."""
    if spec.get("environmentVariables") and not isinstance(spec["environmentVariables"], list):
        raise ApiError(400, "environmentVariables must be a list", "spec.environmentVariables")
    for key in ("compute", "storage"):
        if spec.get(key) and not isinstance(spec[key], dict):
            raise ApiError(400, f"{key} must be an object", f"spec.{key}")
    _check_variables(spec.get("environmentVariables"))
    _check_compute(spec.get("compute") or {})


def _check_variables(variables: Any) -> None:
    for number, item in enumerate(variables or ()):
        where = f"spec.environmentVariables[{number}]"
        if not isinstance(item, Mapping) or not item.get("name"):
            raise ApiError(400, f"{where}: name is required", where)
        value = item.get("value")
        if value is not None and not isinstance(value, str):
            raise ApiError(400, f"{where}: value must be a string", where)


def _check_compute(compute: Mapping[str, Any]) -> None:
    # Each check may rely on those before it: a value that is no number is refused first.
    _check_devices(compute.get("gpuDevicesRequest"))
    _check_request_type(compute.get("gpuRequestType"))
    _check_portion(compute.get("gpuPortionRequest"))
    _check_combination(compute)
    _check_memory(compute.get("gpuMemoryRequest"))
    _check_type_of_request(compute)


def _check_devices(devices: Any) -> None:
    if devices is not None and not _is_count(devices):
        raise _bad_compute("gpuDevicesRequest", "must be an integer of 0 or more")


def _check_request_type(kind: Any) -> None:
    if kind not in (
        None,
        "portion",
        "memory",
    ):
        raise _bad_compute("gpuRequestType", f"{kind!r} is neither portion nor memory")


def _check_portion(portion: Any) -> None:
    if portion is not None and not _is_portion(portion):
        raise _bad_compute("gpuPortionRequest", f"{portion} is not in (0, 1]")


def _check_combination(compute: Mapping[str, Any]) -> None:
    devices = compute.get("gpuDevicesRequest") or 0
    if devices <= 1:
        return
    # A portion of 1 is a whole GPU, so it says nothing.
    portion = compute.get("gpuPortionRequest")
    shares_a_gpu = portion not in (None, 1)
    if shares_a_gpu or compute.get("gpuMemoryRequest"):
        message = "a portion or memory of a GPU cannot be requested with more than one device"
        raise ApiError(400, f"compute: {message}", "compute.gpuDevicesRequest")


def _check_memory(memory: Any) -> None:
    if memory is not None and not _QUANTITY.fullmatch(str(memory)):
        raise _bad_compute("gpuMemoryRequest", f"{memory!r} is not a quantity")


def _check_type_of_request(compute: Mapping[str, Any]) -> None:
    kind = compute.get("gpuRequestType")
    for needed, key in _REQUESTS.items():
        if compute.get(key) is not None and kind != needed:
            raise _bad_compute(key, f"needs gpuRequestType={needed}")


def _bad_compute(key: str, problem: str) -> ApiError:
    return ApiError(400, f"compute.{key} {problem}", f"compute.{key}")


def _is_portion(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 < value <= 1


def _check_distributed(body: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    framework = spec.get("distributedFramework")
    if framework not in FRAMEWORKS:
        names = ", ".join(FRAMEWORKS)
        raise ApiError(400, f"distributedFramework {framework!r}: use one of {names}")
    _check_workers(spec.get("numWorkers"))
    if body.get("masterSpec") is not None:
        _check_master(body)


def _check_workers(workers: Any) -> None:
    if workers is None:
        return
    if not _is_count(workers) or not 1 <= workers <= _MAX_WORKERS:
        message = f"numWorkers {workers!r} must be an integer in 1..{_MAX_WORKERS}"
        raise ApiError(400, message, "spec.numWorkers")


def _check_master(body: Mapping[str, Any]) -> None:
    if body.get("masterSpecSameAsWorker"):
        message = "masterSpec and masterSpecSameAsWorker are mutually exclusive"
        raise ApiError(400, message, "masterSpec")
    master = body["masterSpec"]
    if not isinstance(master, Mapping):
        raise ApiError(400, "masterSpec must be an object", "masterSpec")
    _check_parts(master)


def _check_policy(spec: Mapping[str, Any], settings: EmulatorSettings) -> None:
    # Nothing requested is never too much.
    requested = (spec.get("compute") or {}).get("gpuDevicesRequest") or 0
    allowed = settings.policy_max_gpus
    if allowed is None or requested <= allowed:
        return
    issue = {
        "field": "compute.gpuDevicesRequest",
        "details": f"value must be no greater than {allowed}",
        "rule": "max",
    }
    message = "workload does not comply with the policy of the project"
    raise ApiError(400, message, complianceIssues=[issue])


def _is_count(value: Any) -> bool:
    # To Python, true is a number, too.
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0

"""What a template locks, neither ``raw.kubernetes`` nor a scheduler's label changes."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.manifests.field_places import KINDS, MAPPING, FieldPlace
from airflow_runai.core.manifests.overlay import overlay_problems
from airflow_runai.core.templates import Template, resolve
from airflow_runai.errors import SpecError

#: The lists on the way to a field, each with an entry as an author writes it.
LISTS = {
    "containers": {"name": "main"},
    "env": {"name": "A", "value": "1"},
    "imagePullSecrets": {"name": "s"},
    "initContainers": {"name": "fetch"},
    "replicatedJobs": {"name": "worker"},
    "tolerations": {"key": "gpu"},
    "volumeMounts": {"name": "v", "mountPath": "/v"},
    "volumes": {"name": "v"},
}
PLACES = [
    (row, kind, path)
    for kind in KINDS
    for row in MAPPING
    for path in (row.paths(kind) if kind in row.kinds else [])
    # A claim is an object of its own; variables that copy a value are for whoever reads them there.
    if not path.startswith("claim") and (row.field == "environment" or not path.endswith(".env"))
]


def refusals(locked: str, spec: dict[str, Any], **own: Any) -> list[str]:
    admin = Template("admin", "admin.yaml", own, locked=(locked,))
    try:
        resolve(None, {}, spec, admin)
    except SpecError as error:
        return list(error.problems)
    return []


def in_kubernetes(**pod: Any) -> dict[str, Any]:
    return {"raw": {"kubernetes": {"spec": {"template": {"spec": pod}}}}}


def in_container(**fields: Any) -> dict[str, Any]:
    return in_kubernetes(containers=[{"name": "main", **fields}])


def patch(steps: list[str]) -> Any:
    """Return what an author writes to set one field."""
    if not steps:
        return "tampered"
    head, rest = steps[0], steps[1:]
    if head in ("annotations", "labels") and rest:
        return {head: {".".join(rest): "tampered"}}
    beneath = patch(rest)
    if head in LISTS:
        return {head: [{**LISTS[head], **(beneath if rest else {})}]}
    return {head: beneath}


@pytest.mark.parametrize(("row", "kind", "path"), PLACES)
def test_no_place_of_a_locked_field_can_be_reached(row: FieldPlace, kind: str, path: str) -> None:
    written = patch(path.split("."))
    found = refusals(row.field.split("[]")[0], {"raw": {"kubernetes": written}})
    assert all("(not shown), but 'admin' (admin.yaml) locks it" in one for one in found)
    assert found or list(overlay_problems(written, kind))


TAMPERED: dict[str, tuple[str, dict[str, Any]]] = {
    "another container": ("image", in_kubernetes(containers=[{"name": "b", "image": "b"}])),
    "an init container": ("image", in_kubernetes(initContainers=[{"name": "b", "image": "b"}])),
    "an entry that a second one of this name hides": (
        "image",
        in_kubernetes(containers=[{"name": "main", "image": "b"}, {"name": "main"}]),
    ),
    "a null": ("security", in_kubernetes(securityContext=None)),
    "a null above": ("security", {"raw": {"kubernetes": {"spec": {"template": None}}}}),
    "a text that becomes something else": (
        "image",
        in_kubernetes(containers="{{ params.containers }}"),
    ),
    "a container that decides for itself": (
        "security.run_as_uid",
        in_container(securityContext={"runAsUser": 0}),
    ),
    "the host's processes": ("security", in_kubernetes(hostPID=True)),
    "variables from elsewhere": (
        "environment.HTTP_PROXY",
        in_container(envFrom=[{"configMapRef": {"name": "c"}}]),
    ),
    "a node by its name": ("node_type", in_kubernetes(nodeName="dgx-1")),
    "resources of the whole pod": ("compute.cpu_memory", in_kubernetes(resources={})),
    "a volume of the host": ("storage.host_path", in_kubernetes(volumes=[{"name": "root"}])),
    "a scheduler's label": ("priority", {"labels": {"priorityClassName": "very-high"}}),
    "a master's label": (
        "node_pools",
        {"distributed": {"master": {"labels": {"kai.scheduler/node-pool": "h100"}}}},
    ),
    "a scheduler's annotation": (
        "compute.gpu_devices",
        {"annotations": {"gpu-fraction-num-devices": "8"}},
    ),
}


@pytest.mark.parametrize(("locked", "spec"), TAMPERED.values(), ids=TAMPERED)
def test_a_lock_has_no_back_door_on_kubernetes(locked: str, spec: dict[str, Any]) -> None:
    found = refusals(locked, spec)
    assert found
    assert all(one.endswith("but 'admin' (admin.yaml) locks it; leave it out") for one in found)


@pytest.mark.parametrize(
    ("locked", "spec"),
    [
        ("security", in_kubernetes(serviceAccountName="trainer")),
        ("image", in_container(env=[{"name": "A", "value": "1"}])),
        ("environment.A", in_kubernetes(containers=[{"name": "b", "image": "b"}])),
        ("labels.team", {"raw": {"kubernetes": {"metadata": {"labels": {"other": "a"}}}}}),
        ("priority", in_kubernetes(nodeSelector={"zone": "a"})),
        ("compute.cpu_cores", in_kubernetes(volumes=[{"name": "cache", "emptyDir": {}}])),
    ],
)
def test_a_lock_lets_through_what_it_does_not_hold(locked: str, spec: dict[str, Any]) -> None:
    assert refusals(locked, spec) == []


def test_what_the_admin_has_patched_stays_and_may_be_repeated() -> None:
    own = in_container(securityContext={"privileged": False})
    sidecar = in_kubernetes(containers=[{"name": "b", "image": "b"}])
    assert refusals("security", own, **own) == []
    assert refusals("security", sidecar, **own) == []
    other = in_container(securityContext={"privileged": True})
    assert refusals("security", other, **own) == [
        "spec.raw.kubernetes.spec.template.spec.containers[].securityContext: the task tries a "
        "value (not shown), but 'admin' (admin.yaml) locks it; leave it out"
    ]

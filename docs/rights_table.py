"""The least rights on Kubernetes: as a table for people, and as roles for `kubectl apply`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import yaml

from airflow_runai.backends.kubernetes.least_rights import (
    NEEDS,
    TRIGGERER,
    WORKER,
    NeededRight,
    granted,
)
from airflow_runai.core.manifests import DIALECTS

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

#: Where the files of ``docs/rbac`` let trainings run, and where Airflow's Helm chart has its
#: service accounts if the release is called ``airflow``.
TRAININGS, AIRFLOW = "trainings", "airflow"
_RBAC = "rbac.authorization.k8s.io"
_HEAD = (
    "# Made from airflow_runai/backends/kubernetes/least_rights.py; do not edit.\n"
    f"# Replace the namespace {TRAININGS!r} by that of your trainings, and the service accounts\n"
    f"# '{AIRFLOW}-worker' and '{AIRFLOW}-triggerer' in {AIRFLOW!r} by yours.\n"
)


def needs(table: Table) -> str:
    """Return what must be allowed for each kind of object."""
    rows = [
        (
            f"`{_name(need)}`" + (" (cluster)" if need.in_cluster else ""),
            _verbs(need, WORKER),
            _verbs(need, TRIGGERER),
            ", ".join([*_dialects(need), *([need.only_for] if need.only_for else [])]) or "all",
            need.without,
        )
        for need in NEEDS
    ]
    head = ("resource", "worker", "triggerer", "only for", "what does not work without it")
    return table(head, rows)


def roles(dialect: str) -> str:
    """Return the roles and bindings of one dialect as YAML."""
    objects = [one for who in (WORKER, TRIGGERER) for one in _roles_of(dialect, who)]
    return _HEAD + yaml.safe_dump_all(objects, sort_keys=False)


def _roles_of(dialect: str, who: str) -> Iterator[dict[str, Any]]:
    for in_cluster in (False, True):
        rules = [
            {
                "apiGroups": [need.kind.group],
                "resources": [need.kind.resource],
                "verbs": list(verbs),
            }
            for need, verbs in granted(dialect, who)
            if need.in_cluster is in_cluster
        ]
        kind = "ClusterRole" if in_cluster else "Role"
        name = f"airflow-runai-{who}"
        place = {} if in_cluster else {"namespace": TRAININGS}
        metadata = {"name": name, **place}
        account = {"kind": "ServiceAccount", "name": f"{AIRFLOW}-{who}", "namespace": AIRFLOW}
        yield {
            "apiVersion": f"{_RBAC}/v1",
            "kind": kind,
            "metadata": metadata,
            "rules": rules,
        }
        yield {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
            "subjects": [account],
        }


def _name(need: NeededRight) -> str:
    return f"{need.kind.resource}.{need.kind.group}".rstrip(".")


def _verbs(need: NeededRight, who: str) -> str:
    return ", ".join(f"`{verb}`" for verb in need.verbs(who)) or "–"


def _dialects(need: NeededRight) -> list[str]:
    if len(need.dialects) == len(DIALECTS):
        return []
    return [f"`{name}`" for name in need.dialects]

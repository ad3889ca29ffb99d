"""Service accounts with the least rights of the provider, of which one may be taken away."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_runai.backends.kubernetes.api.paths import ResourceKind
from airflow_runai.backends.kubernetes.least_rights import TRIGGERER, WORKER, granted
from tests.rig import users
from tests.rig.lanes import Lane
from tests.rig.users import RBAC
from tests.rig.waiting import until

__all__ = ["Taken", "identity"]

#: A kind of object, and the verb that is not allowed.
Taken = tuple[ResourceKind, str]
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def identity(lane: Lane, folder: Path, dialect: str, taken: Taken | None = None) -> Path:
    """
    Make a service account that may do in a lane what a worker and a triggerer need there.

    :param taken: what it may not do nevertheless.
    :return: its kubeconfig.
    """
    api, name = lane.cluster.api, f"least-{secrets.token_hex(3)}"
    home = f"/api/v1/namespaces/{lane.namespace}/serviceaccounts"
    metadata = {"metadata": {"name": name}}
    api.create(home, {"apiVersion": "v1", "kind": "ServiceAccount", **metadata})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": lane.namespace}
    for in_cluster in (False, True):
        kind = "ClusterRole" if in_cluster else "Role"
        place = RBAC if in_cluster else f"{RBAC}/namespaces/{lane.namespace}"
        about: dict[str, Any] = {"apiVersion": RBAC.removeprefix("/apis/"), **metadata}
        rules = list(_rules(dialect, taken, in_cluster))
        api.create(f"{place}/{kind.lower()}s", {**about, "kind": kind, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        binding = {"kind": f"{kind}Binding", "roleRef": role, "subjects": [subject]}
        api.create(f"{place}/{kind.lower()}bindings", {**about, **binding})
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.create(f"{home}/{name}/token", review)["status"]["token"]
    site = lane.cluster.site
    file = folder / f"{name}.yaml"
    users.kubeconfig(file, api.server, site.authority, name, token, lane.namespace)
    _await_rights(lane, dialect, taken, token)
    return file


def _rules(dialect: str, taken: Taken | None, in_cluster: bool) -> Iterator[dict[str, Any]]:
    for who in (WORKER, TRIGGERER):
        for need, verbs in granted(dialect, who):
            kept = [verb for verb in verbs if (need.kind, verb) != taken]
            if kept and need.in_cluster is in_cluster:
                kind = need.kind
                yield {"apiGroups": [kind.group], "resources": [kind.resource], "verbs": kept}


def _await_rights(lane: Lane, dialect: str, taken: Taken | None, token: str) -> None:
    """Wait until the API server has read the roles."""
    mine = lane.cluster.api.with_token(token)

    def is_allowed(kind: ResourceKind, verb: str) -> bool:
        resource, _, part = kind.resource.partition("/")
        asked = {"verb": verb, "group": kind.group, "resource": resource, "subresource": part}
        about = {"resourceAttributes": {**asked, "namespace": lane.namespace}}
        return bool(mine.create(_REVIEWS, {"spec": about})["status"]["allowed"])

    wanted = [(need.kind, verb) for need, verbs in granted(dialect, TRIGGERER) for verb in verbs]
    for kind, verb in wanted:
        if (kind, verb) != taken:
            until(lambda kind=kind, verb=verb: is_allowed(kind, verb), f"the right to {verb}")  # type: ignore[misc]
    mine.close()

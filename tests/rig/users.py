"""
Who may do what in a cluster: four identities, their rights, tokens and kubeconfigs.

Static tokens are read once, when the API server starts. What must be renewed or taken back while it
runs is a token of the service account ``airflow``, which has the same rights: :func:`issue`,
:func:`revoke`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.rig.api import Api, Object

__all__ = ["USERS", "Token", "issue", "kubeconfig", "permit", "revoke", "write_tokens"]

USERS = ("admin", "airflow", "blind", "nothing")
#: Group, resource, verbs.
Rights = tuple[tuple[str, str, str], ...]
JOBS: Rights = (("batch", "jobs", "get list watch create patch delete"),)
#: The least rights of the provider (kubernetes.md §2), in each namespace.
AIRFLOW: Rights = (
    *JOBS,
    ("jobset.x-k8s.io", "jobsets", "get list watch create patch delete"),
    ("", "pods", "get list watch"),
    ("", "pods/log", "get"),
    ("", "events", "get list watch"),
    ("scheduling.run.ai", "podgroups", "get list watch"),
    ("kueue.x-k8s.io", "workloads", "get list watch patch"),
    ("kueue.x-k8s.io", "localqueues", "get list"),
)
IN_NAMESPACES: Mapping[str, Rights] = {"airflow": AIRFLOW, "blind": JOBS}
IN_CLUSTER: Mapping[str, Rights] = {
    "airflow": (
        ("scheduling.run.ai", "queues", "get list"),
        ("scheduling.k8s.io", "priorityclasses", "get list"),
        ("kueue.x-k8s.io", "workloadpriorityclasses clusterqueues", "get list"),
    )
}
RBAC = "/apis/rbac.authorization.k8s.io/v1"
#: Where the service account lives.
HOME = "default"


@dataclass(frozen=True)
class Token:
    """
    A token that can be taken back.

    :param name: the Secret that it is bound to; without it the token is void.
    """

    name: str
    text: str


def write_tokens(file: Path) -> dict[str, str]:
    """Make a token for each user and write the API server's list of them."""
    tokens = {user: secrets.token_urlsafe(24) for user in USERS}
    groups = {"admin": '"system:masters"'}
    lines = [
        f"{token},{user},{user},{groups.get(user, '')}".rstrip(",")
        for user, token in tokens.items()
    ]
    file.touch(mode=0o600)
    file.write_text("\n".join(lines) + "\n")
    return tokens


def kubeconfig(
    file: Path, server: str, authority: Path, user: str, token: str, namespace: str = "default"
) -> Path:
    """Write a kubeconfig for one user."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "rig",
        "clusters": [
            {"name": "rig", "cluster": {"server": server, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [
            {"name": "rig", "context": {"cluster": "rig", "user": user, "namespace": namespace}}
        ],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file


def permit(api: Api, namespace: str) -> None:
    """Give all users their full rights in a namespace."""
    for user, rights in IN_NAMESPACES.items():
        _grant(api, f"{RBAC}/namespaces/{namespace}", "Role", user, rights)


def permit_in_cluster(api: Api) -> None:
    """Give all users the rights that no namespace bounds, and make the service account."""
    api.apply(
        f"/api/v1/namespaces/{HOME}/serviceaccounts", _plain("v1", "ServiceAccount", "airflow")
    )
    for user, rights in IN_CLUSTER.items():
        _grant(api, RBAC, "ClusterRole", user, rights)


def limit(api: Api, namespace: str, user: str, without: Mapping[str, str]) -> None:
    """
    Take rights away from a user, until :func:`permit` gives them back.

    :param without: resource to the verbs that are taken, ``{"pods": "get list watch"}``.
    """
    left = []
    for group, resource, verbs in IN_NAMESPACES[user]:
        kept = [verb for verb in verbs.split() if verb not in without.get(resource, "").split()]
        if kept:
            left.append((group, resource, " ".join(kept)))
    api.merge(f"{RBAC}/namespaces/{namespace}/roles/{user}", {"rules": _rules(tuple(left))})


def issue(api: Api, seconds: int = 3600) -> Token:
    """Issue a token for the service account ``airflow``."""
    name = f"token-{secrets.token_hex(4)}"
    home = f"/api/v1/namespaces/{HOME}"
    made = api.create(f"{home}/secrets", _plain("v1", "Secret", name))
    bound = {"kind": "Secret", "apiVersion": "v1", "name": name, "uid": made["metadata"]["uid"]}
    request = {"spec": {"audiences": [], "expirationSeconds": seconds, "boundObjectRef": bound}}
    return Token(
        name, api.create(f"{home}/serviceaccounts/airflow/token", request)["status"]["token"]
    )


def revoke(api: Api, token: Token) -> None:
    """Take a token back; the API server may believe it for 10 s more, as long as it remembers a success."""
    api.delete(f"/api/v1/namespaces/{HOME}/secrets/{token.name}", policy=None)


def _grant(api: Api, home: str, kind: str, user: str, rights: Rights) -> None:
    collection = f"{home}/{kind.lower()}s"
    api.apply(collection, _plain(f"{RBAC[6:]}", kind, user) | {"rules": _rules(rights)})
    subjects: list[Object] = [
        {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    ]
    if user == "airflow":
        subjects.append({"kind": "ServiceAccount", "name": user, "namespace": HOME})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": user}
    binding = _plain(f"{RBAC[6:]}", f"{kind}Binding", user) | {
        "subjects": subjects,
        "roleRef": role,
    }
    api.apply(f"{home}/{kind.lower()}bindings", binding)


def _rules(rights: Rights) -> list[Object]:
    return [
        {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
        for group, resources, verbs in rights
    ]


def _plain(version: str, kind: str, name: str) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}}

"""
What goes wrong in real clusters, on order. A fault that does not end by itself ends with its ``with`` block.

Elsewhere: an API server that restarts under open watches (``cluster.restart("kube-apiserver")``), a
webhook that is down (``cluster.stop_part("kueue")``), a machine that dies (``cluster.lose_node``),
and bad connections (``wire.Wire``).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import httpx

from tests.rig import users
from tests.rig.api import Object
from tests.rig.cluster import Cluster
from tests.rig.waiting import until

__all__ = ["expire_history", "full", "without_rights"]

QUOTA = "rig"


def expire_history(cluster: Cluster) -> None:
    """
    Forget all history: versions, and the tokens that continue a list, answer 410 afterwards.

    One more write comes first: a compaction at exactly a list's version does not expire its token.
    The restart empties the API server's cache, which would hide the compaction otherwise.
    """
    store = f"http://127.0.0.1:{cluster.site.ports['etcd']}/v3/kv"
    put = {"key": _text("rig/expired"), "value": _text("")}
    revision = _ask(f"{store}/put", put)["header"]["revision"]
    _ask(f"{store}/compaction", {"revision": revision, "physical": True})
    cluster.restart("kube-apiserver")


@contextmanager
def without_rights(
    cluster: Cluster, user: str, namespace: str, without: Mapping[str, str]
) -> Iterator[None]:
    """
    Take rights away from a user, and give them back at the end.

    :param without: resource to the verbs that are taken, such as ``{"pods": "list watch"}``.
    """
    users.limit(cluster.api, namespace, user, without)
    for resource, verbs in without.items():
        for verb in verbs.split():
            until(
                partial(_lacks, cluster, user, namespace, resource, verb),
                f"{user} without {verb} {resource}",
            )
    try:
        yield
    finally:
        users.permit(cluster.api, namespace)


@contextmanager
def full(cluster: Cluster, namespace: str, hard: Mapping[str, str]) -> Iterator[None]:
    """
    Leave no room for more objects in a namespace, until the end.

    :param hard: what a ResourceQuota allows, such as ``{"count/jobs.batch": "0", "pods": "0"}``.
    """
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": QUOTA},
        "spec": {"hard": dict(hard)},
    }
    cluster.api.apply(quotas, body)
    until(
        lambda: cluster.api.get(f"{quotas}/{QUOTA}").get("status", {}).get("used"),
        f"the quota of {namespace}",
    )
    try:
        yield
    finally:
        cluster.api.remove(f"{quotas}/{QUOTA}")


def _lacks(cluster: Cluster, user: str, namespace: str, resource: str, verb: str) -> bool:
    group = next(group for group, name, _ in users.IN_NAMESPACES[user] if name == resource)
    name, _, part = resource.partition("/")
    asked = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": name,
        "subresource": part,
    }
    review: Object = {"spec": {"resourceAttributes": asked}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return not cluster.user(user).create(path, review)["status"]["allowed"]


def _text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _ask(url: str, body: Object) -> Object:
    answer: Object = httpx.post(url, json=body, trust_env=False).raise_for_status().json()
    return answer

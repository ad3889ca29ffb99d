"""
What a kubelet writes to the API server: statuses, events, and the removal of a pod that has ended.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time

import httpx

from tests.rig.api import STRATEGIC, Api, ApiError, Object
from tests.rig.kubelet.statuses import stamp

__all__ = ["Reporter"]

#: Other writers of a pod's fields are told apart by this name in its ``managedFields``.
MANAGER = {"fieldManager": "kubelet"}


class Reporter:
    """
    Speaks for one node.

    :param node: the node's name.
    """

    def __init__(self, api: Api, node: str) -> None:
        self._api, self._node = api, node

    def read(self, namespace: str, plural: str, name: str) -> Object | None:
        """Read an object that a pod names; None if it is not there."""
        place = "" if plural == "persistentvolumes" else f"/namespaces/{namespace}"
        return self._api.find(f"/api/v1{place}/{plural}/{name}")

    def status(self, pod: Object, status: Object) -> Object:
        """
        Patch a pod's status, unless another pod has its name by now; return the whole new one.
        """
        meta = pod["metadata"]
        status = {**status, "observedGeneration": meta.get("generation")}
        body = {"metadata": {"uid": meta["uid"]}, "status": status}
        reply = self._api.ask(
            "PATCH",
            f"{_path(pod)}/status",
            params=MANAGER,
            content=json.dumps(body),
            headers={"Content-Type": STRATEGIC},
        )
        return dict(reply.json()["status"])

    def remove(self, pod: Object) -> None:
        """Let the API server forget a pod that was deleted and has ended."""
        self._api.remove(_path(pod), policy=None, grace=0, uid=pod["metadata"]["uid"])

    def event(self, pod: Object, kind: str, reason: str, message: str) -> None:
        """Tell what happens to a pod; a lost event is no loss."""
        meta, now = pod["metadata"], stamp(time.time())
        body = {
            "metadata": {
                "name": f"{meta['name']}.{secrets.token_hex(8)}",
                "namespace": meta["namespace"],
            },
            "involvedObject": {
                "kind": "Pod",
                "apiVersion": "v1",
                **{key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion")},
            },
            "reason": reason,
            "message": message[:1024],
            "type": kind,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": "kubelet", "host": self._node},
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
        }
        with contextlib.suppress(httpx.HTTPError, ApiError):
            self._api.create(f"/api/v1/namespaces/{meta['namespace']}/events", body, **MANAGER)


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"

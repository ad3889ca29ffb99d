"""
Writes a component's events, in a thread of its own, as client-go's recorder does: who tells never waits.

An event that cannot be written is lost: nothing but a person reads them, and KAI drops them just
so.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone

import httpx

from tests.rig.api import Api, ApiError, Object
from tests.rig.kai.correlator import Correlator, Happening, Written

__all__ = ["Recorder", "timestamp"]

VERSIONS = {"Pod": "v1", "PodGroup": "scheduling.run.ai/v2alpha2"}


class Recorder:
    """
    The voice of one component.

    :param component: as events name it: ``kai-scheduler``, ``binder``, ``pod-grouper``.
    :param manager: as the API server names the writer.
    """

    def __init__(self, api: Api, component: str, manager: str) -> None:
        self._api, self._component, self._manager = api, component, manager
        self._correlator = Correlator()
        self._told: queue.SimpleQueue[tuple[Happening, str]] = queue.SimpleQueue()

    def start(self) -> Recorder:
        """Begin to write."""
        threading.Thread(target=self._run, name=f"events of {self._component}", daemon=True).start()
        return self

    def tell(
        self,
        kind: str,
        thing: Object,
        type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """
        Tell that something happened to an object.

        :param kind: ``Pod`` or ``PodGroup``: objects out of lists do not say what they are.
        """
        metadata = thing["metadata"]
        on = (kind, metadata["namespace"], metadata["name"], metadata["uid"])
        happening = Happening.of(on, type, reason, message, annotations)
        self._told.put((happening, metadata["resourceVersion"]))

    def _run(self) -> None:
        while True:
            happening, version = self._told.get()
            written = self._correlator.admit(happening, time.time())
            if written is None:
                continue
            try:
                self._write(written, version)
            except (ApiError, httpx.HTTPError):
                continue

    def _write(self, written: Written, version: str) -> None:
        events = f"/api/v1/namespaces/{written.happening.on[1]}/events"
        if written.name and self._raise_count(
            f"{events}/{written.name}?fieldManager={self._manager}", written
        ):
            return
        name = f"{written.happening.on[2]}.{time.time_ns():x}"
        self._api.create(events, self._body(written, name, version), fieldManager=self._manager)
        written.name = name

    def _raise_count(self, path: str, written: Written) -> bool:
        """Change the event that stands; false if it is gone, as the API server keeps events for a while only."""
        change = {
            "count": written.count,
            "lastTimestamp": timestamp(written.last),
            "message": written.happening.message,
        }
        try:
            self._api.merge(path, change)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _body(self, written: Written, name: str, version: str) -> Object:
        happening = written.happening
        kind, namespace, involved, uid = happening.on
        metadata: Object = {"name": name, "namespace": namespace}
        if happening.annotations:
            metadata["annotations"] = dict(happening.annotations)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": metadata,
            "involvedObject": {
                "kind": kind,
                "namespace": namespace,
                "name": involved,
                "uid": uid,
                "apiVersion": VERSIONS[kind],
                "resourceVersion": version,
            },
            "reason": happening.reason,
            "message": happening.message,
            "source": {"component": self._component},
            "firstTimestamp": timestamp(written.first),
            "lastTimestamp": timestamp(written.last),
            "count": written.count,
            "type": happening.type,
            "reportingComponent": self._component,
        }


def timestamp(seconds: float) -> str:
    """Write a time as Kubernetes does: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

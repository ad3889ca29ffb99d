"""
All pods of one node: a worker for each, and the way from a pod's name to its log.
"""

from __future__ import annotations

import functools
import itertools
import shutil
import threading
import zlib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from tests.rig.api import Api, Mirror, Object
from tests.rig.kubelet.containers import Containers
from tests.rig.kubelet.logs import Query, read
from tests.rig.kubelet.pods import PodWorker
from tests.rig.kubelet.reporting import Reporter
from tests.rig.kubelet.server import Refused
from tests.rig.kubelet.statuses import Running

__all__ = ["Node"]

_PULLING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class Node:
    """
    Runs the pods that are bound to a node.

    :param folder: where their containers' folders are; nobody else writes there.
    """

    def __init__(self, api: Api, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self._reporter = Reporter(api, name)
        self._workers: dict[str, PodWorker] = {}
        self._network = ip_address(f"10.{64 + zlib.crc32(name.encode()) % 64}.0.0")
        self._numbers = itertools.count(2)
        self._pods = Mirror(
            api, "/api/v1/pods", self._changed, fieldSelector=f"spec.nodeName={name}"
        )
        self._swept = threading.Event()

    def start(self) -> None:
        """
        Adopt what runs, clear away what belongs to no pod any more, and follow the node's pods.
        """
        self._pods.start()
        threading.Thread(target=self._sweep, daemon=True).start()

    def ready(self) -> bool:
        """Tell whether the node is in order."""
        return self._swept.is_set()

    def logs(self, namespace: str, pod: str, container: str, query: Query) -> Iterator[bytes]:
        """
        Return the lines of a container's log.

        :raises Refused: if there is none (yet).
        """
        found = self._find(namespace, pod)
        if found is None:
            raise Refused(404, f'pod "{pod}" does not exist\n')
        specs = [*(found["spec"].get("initContainers") or []), *found["spec"]["containers"]]
        if container not in [spec["name"] for spec in specs]:
            raise Refused(404, f'container "{container}" not found in pod "{pod}"\n')
        runs = Containers(self._folder / found["metadata"]["uid"]).attempts(container)
        if query.previous:
            if len(runs) < 2:
                raise Refused(
                    400, f'previous terminated container "{container}" in pod "{pod}" not found'
                )
            runs.pop()
        if not runs or runs[-1].state() is None:
            raise Refused(
                400,
                f'container "{container}" in pod "{pod}" is waiting to start: {_why(found, container)}',
            )
        return read(runs[-1].log, query, lambda: isinstance(runs[-1].state(), Running))

    def _changed(self, old: Object | None, new: Object | None) -> None:
        uid = (new or old or {})["metadata"]["uid"]
        if worker := self._workers.get(uid):
            worker.wake()
        elif new:
            current = functools.partial(self._pods.get, uid)
            worker = PodWorker(self._reporter, self._folder / uid, self._address(new), new, current)
            self._workers[uid] = worker
            threading.Thread(
                target=self._live, args=(uid, worker), name=f"pod {uid}", daemon=True
            ).start()

    def _live(self, uid: str, worker: PodWorker) -> None:
        worker.run()
        del self._workers[uid]

    def _sweep(self) -> None:
        self._pods.synced.wait()
        for folder in self._folder.iterdir():
            if self._pods.get(folder.name) is None and folder.name not in self._workers:
                Containers(folder).kill()
                shutil.rmtree(folder, ignore_errors=True)
        self._swept.set()

    def _address(self, pod: Object) -> str:
        """Return a pod's address: the one that it was told to have, or one that no pod of this node has."""
        if known := pod["status"].get("podIP"):
            return str(known)
        used = {other["status"].get("podIP") for other in self._pods.objects}
        return next(
            ip for number in self._numbers if (ip := str(self._network + number)) not in used
        )

    def _find(self, namespace: str, name: str) -> Object | None:
        for pod in self._pods.objects:
            if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == (namespace, name):
                return pod
        return None


def _why(pod: Object, container: str) -> str:
    status = pod["status"]
    for one in [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]:
        if one["name"] == container and (waiting := one["state"].get("waiting")):
            return _PULLING.get(waiting["reason"], str(waiting["reason"]))
    return "ContainerCreating"

"""
KAI's pod grouper: gives each pod of its scheduler a PodGroup, and looks at it again whenever the pod changes.

It reads PodGroups from a cache that is a moment behind, as the real one does. From that come the two warnings on nearly
every healthy pod: the group that it would make exists already, or has changed since it was read. A pod that met such a
warning is grouped at the next try, a second later.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

import httpx

from tests.rig.api import Api, ApiError, Mirror, Object
from tests.rig.kai.agenda import Again, Agenda
from tests.rig.kai.grouping import group_for
from tests.rig.kai.recorder import Recorder
from tests.rig.kai.snapshot import GROUP_ANNOTATION, SCHEDULER

__all__ = ["PODGROUPS", "Grouper", "LateCache"]

PODGROUPS = "/apis/scheduling.run.ai/v2alpha2"
MANAGER = "kai-podgrouper"
#: What an informer of a busy controller is behind.
LAG_SECONDS = 0.02
#: Owners that are asked for; a pod of any other is grouped by that owner's reference alone.
COLLECTIONS = {("batch", "Job"): "jobs", ("jobset.x-k8s.io", "JobSet"): "jobsets"}


class OwnerMissing(Exception):
    """The owner of a pod is not there, or is another one of the same name."""


class LateCache:
    """Objects by key as they were a moment ago."""

    def __init__(self, lag: float = LAG_SECONDS) -> None:
        self._lag = lag
        self._states: dict[str, deque[tuple[float, Object | None]]] = {}

    def put(self, key: str, thing: Object | None) -> None:
        """Note the newest state; None if it is gone."""
        self._states.setdefault(key, deque(maxlen=64)).append((time.monotonic(), thing))

    def get(self, key: str) -> Object | None:
        """Give the newest state that is old enough."""
        states, known = self._states.get(key, deque()), time.monotonic() - self._lag
        while len(states) > 1 and states[1][0] <= known:
            states.popleft()
        return states[0][1] if states and states[0][0] <= known else None


class Grouper:
    """
    The controller; its :class:`Agenda` works on the uids of pods.

    :param priorities: mirror of the priority classes.
    """

    def __init__(self, api: Api, recorder: Recorder, pods: Mirror, priorities: Mirror) -> None:
        self._api, self._recorder, self._pods, self._priorities = api, recorder, pods, priorities
        self._cache = LateCache()
        self._made: dict[str, Object] = {}
        self.agenda = Agenda("pod grouper", self._look_at)

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Look at a pod of ours that is new or has changed."""
        if new is not None and new["spec"].get("schedulerName") == SCHEDULER:
            self.agenda.add(new["metadata"]["uid"])
        elif new is None and old is not None:
            self._made.pop(old["metadata"]["uid"], None)

    def group_changed(self, old: Object | None, new: Object | None) -> None:
        """Learn of a PodGroup, a moment later."""
        metadata = (new or old or {})["metadata"]
        self._cache.put(f"{metadata['namespace']}/{metadata['name']}", new)

    def _look_at(self, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is None or _is_grouped_by_hand(pod):
            return
        try:
            self._group(pod)
        except (ApiError, OwnerMissing) as error:
            text = error.message if isinstance(error, ApiError) else str(error)
            self._recorder.tell("Pod", pod, "Warning", "PodGrouperWarning", text)
            raise Again from error
        except httpx.HTTPError as error:
            raise Again from error

    def _group(self, pod: Object) -> None:
        names = [one["metadata"]["name"] for one in self._priorities.objects]
        wanted = group_for(pod, self._top_owner(pod), names)
        collection = f"{PODGROUPS}/namespaces/{wanted['metadata']['namespace']}/podgroups"
        uid, name = pod["metadata"]["uid"], wanted["metadata"]["name"]
        known = self._cache.get(f"{wanted['metadata']['namespace']}/{name}") or self._made.get(uid)
        if known is None:
            self._made[uid] = self._api.create(collection, wanted, fieldManager=MANAGER)
        else:
            # Nothing changes by it; but it fails, as KAI's does, if somebody else wrote in the meantime.
            self._api.replace(f"{collection}/{name}?fieldManager={MANAGER}", known)
        if (pod["metadata"].get("annotations") or {}).get(GROUP_ANNOTATION) != name:
            change = {"metadata": {"uid": uid, "annotations": {GROUP_ANNOTATION: name}}}
            self._api.merge(f"{_path(pod, 'pods', '/api/v1')}?fieldManager={MANAGER}", change)

    def _top_owner(self, pod: Object) -> Object:
        """Follow the controllers of a pod upwards as far as there is somebody who is known."""
        top = pod | {"apiVersion": "v1", "kind": "Pod"}
        while (reference := _controller(top["metadata"].get("ownerReferences") or [])) is not None:
            group, _, version = reference["apiVersion"].rpartition("/")
            plural = COLLECTIONS.get((group, reference["kind"]))
            if plural is None:
                return _outline(reference)
            top = self._owner(pod["metadata"]["namespace"], reference, f"/apis/{group}/{version}", plural)
        return top

    def _owner(self, namespace: str, reference: Object, group: str, plural: str) -> Object:
        name, uid = reference["name"], reference["uid"]
        try:
            owner = self._api.get(f"{group}/namespaces/{namespace}/{plural}/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
            problem = error.message
        else:
            if owner["metadata"]["uid"] == uid:
                return owner
            problem = f"Owner resource with uid {uid} not found"
        raise OwnerMissing(f"failed to find {reference['kind']}: <{namespace}/{name}>, uid: <{uid}>: {problem}")


def _is_grouped_by_hand(pod: Object) -> bool:
    """A pod without an owner that names a group: whoever made it has made the group, too."""
    metadata = pod["metadata"]
    owned = _controller(metadata.get("ownerReferences") or []) is not None
    return not owned and GROUP_ANNOTATION in (metadata.get("annotations") or {})


def _controller(references: Iterable[Object]) -> Object | None:
    return next((reference for reference in references if reference.get("controller")), None)


def _outline(reference: Object) -> Object:
    metadata = {"name": reference["name"], "uid": reference["uid"]}
    return {"apiVersion": reference["apiVersion"], "kind": reference["kind"], "metadata": metadata}


def _path(thing: Object, plural: str, group: str) -> str:
    metadata = thing["metadata"]
    return f"{group}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"

"""
KAI's pod grouper: gives each pod of its scheduler a PodGroup, and looks at it again whenever the pod changes.

The real one reads PodGroups from a cache that is behind, and writes back what it read. From that
come the two warnings that nearly every healthy pod has: the group that it would make exists already
(then the pod is grouped a second later), and the group has changed since it was read. Here they
come every time, not by chance.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import httpx

from tests.rig.api import Api, ApiError, Mirror, Object
from tests.rig.kai.agenda import Again, Agenda
from tests.rig.kai.grouping import group_for, updated
from tests.rig.kai.recorder import Recorder
from tests.rig.kai.snapshot import GROUP_ANNOTATION, SCHEDULER

__all__ = ["PODGROUPS", "Grouper"]

PODGROUPS = "/apis/scheduling.run.ai/v2alpha2"
MANAGER = "kai-podgrouper"
#: A group that was made less than this ago is not yet in the cache.
LAG_SECONDS = 0.2
#: Owners that are asked for; a pod of any other is grouped by that owner's reference alone.
COLLECTIONS = {("batch", "Job"): "jobs", ("jobset.x-k8s.io", "JobSet"): "jobsets"}


class OwnerMissing(Exception):
    """The owner of a pod is not there, or is another one of the same name."""


class Grouper:
    """
    The controller; its :class:`Agenda` works on the uids of pods.

    :param groups: mirror of the PodGroups.
    :param priorities: mirror of the priority classes.
    """

    def __init__(
        self, api: Api, recorder: Recorder, pods: Mirror, groups: Mirror, priorities: Mirror
    ) -> None:
        self._api, self._recorder = api, recorder
        self._pods, self._groups, self._priorities = pods, groups, priorities
        self._made: dict[str, float] = {}
        self._read: dict[str, Object] = {}
        self.agenda = Agenda("pod grouper", self._look_at)

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Look at a pod of ours that is new or has changed."""
        if new is not None and new["spec"].get("schedulerName") == SCHEDULER:
            self.agenda.add(new["metadata"]["uid"])
        elif new is None and old is not None:
            self._read.pop(old["metadata"]["uid"], None)

    def _look_at(self, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is None or _is_grouped_by_hand(pod):
            return
        try:
            self._group(pod)
        except (ApiError, OwnerMissing) as error:
            self._read.pop(uid, None)
            text = error.message if isinstance(error, ApiError) else str(error)
            self._recorder.tell("Pod", pod, "Warning", "PodGrouperWarning", text)
            raise Again from error
        except httpx.HTTPError as error:
            raise Again from error

    def _group(self, pod: Object) -> None:
        names = [one["metadata"]["name"] for one in self._priorities.objects]
        wanted = group_for(pod, self._top_owner(pod), names)
        uid, name = pod["metadata"]["uid"], wanted["metadata"]["name"]
        grouped = (pod["metadata"].get("annotations") or {}).get(GROUP_ANNOTATION) == name
        known = self._read.get(uid) or self._cached(wanted)
        if known is None:
            if "deletionTimestamp" in pod["metadata"]:
                return  # both go; in the real one's cache the group is still there
            known = self._make(wanted)
        else:
            # Mostly changes nothing; but fails, as KAI's does, if somebody wrote since it was read.
            self._api.replace(
                f"{_path(wanted, 'podgroups', PODGROUPS)}?fieldManager={MANAGER}",
                updated(known, wanted),
            )
        if not grouped:
            self._read[uid] = known
            change = {"metadata": {"uid": uid, "annotations": {GROUP_ANNOTATION: name}}}
            self._api.merge(f"{_path(pod, 'pods', '/api/v1')}?fieldManager={MANAGER}", change)

    def _cached(self, wanted: Object) -> Object | None:
        key = _path(wanted, "podgroups", PODGROUPS)
        if time.monotonic() - self._made.get(key, 0.0) < LAG_SECONDS:
            return None
        return next(
            (one for one in self._groups.objects if _path(one, "podgroups", PODGROUPS) == key), None
        )

    def _make(self, wanted: Object) -> Object:
        key = _path(wanted, "podgroups", PODGROUPS)
        made = self._api.create(key.rpartition("/")[0], wanted, fieldManager=MANAGER)
        self._made[key] = time.monotonic()
        return made

    def _top_owner(self, pod: Object) -> Object:
        """Follow the controllers of a pod upwards as far as there is somebody who is known."""
        top = pod | {"apiVersion": "v1", "kind": "Pod"}
        while (reference := _controller(top["metadata"].get("ownerReferences") or [])) is not None:
            group, _, version = reference["apiVersion"].rpartition("/")
            plural = COLLECTIONS.get((group, reference["kind"]))
            if plural is None:
                return _outline(reference)
            top = self._owner(
                pod["metadata"]["namespace"], reference, f"/apis/{group}/{version}", plural
            )
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
        raise OwnerMissing(
            f"failed to find {reference['kind']}: <{namespace}/{name}>, uid: <{uid}>: {problem}"
        )


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

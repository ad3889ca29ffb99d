"""How objects go: graces, finalizers, and what becomes of those that they own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.clock import timestamp
from tests.model.resources import ALL, JOBS, PODS, Object, Resource
from tests.model.store import Change, Store

TRACKING = "batch.kubernetes.io/job-tracking"
FOREGROUND, ORPHAN = "Foreground", "Orphan"
_WAITS_FOR_DEPENDENTS = "foregroundDeletion"
#: Seconds until the garbage collector acts.
_PAUSE = 0.01


class Deletion:
    """Deletes objects; a listener of the store is the garbage collector."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.listen(self._collect)

    def delete(
        self, resource: Resource, thing: Object, policy: str = "", grace: float | None = None
    ) -> Object:
        """
        Begin to delete.

        :param policy: empty for the kind's own: orphans for a Job, as for old clients.
        :param grace: seconds for a pod, instead of its own.
        :return: its last state so far.
        """
        if resource == PODS:
            self._delete_pod(thing, grace)
        elif policy == FOREGROUND:
            self._mark(resource, thing, [_WAITS_FOR_DEPENDENTS])
            self._clear(resource, thing)
        elif policy == ORPHAN or (resource == JOBS and not policy):
            for kind, one in self._dependents(thing):
                self._store.change(kind, one, _orphan)
            self._store.remove(resource, thing)
        else:
            self._store.remove(resource, thing)
        return thing

    def release(self, pod: Object) -> None:
        """Take the Job controller's finalizer off a pod."""
        self._store.change(PODS, pod, lambda one: _drop(one, TRACKING))
        self.finish(pod)

    def finish(self, pod: Object) -> None:
        """Remove a pod that has no grace left and that no one holds."""
        now = self._store.find(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
        if now is None or "deletionTimestamp" not in now["metadata"]:
            return
        metadata = now["metadata"]
        if not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds"):
            self._store.remove(PODS, now)

    def end_grace(self, pod: Object) -> None:
        """Do what a kubelet does when a deleted pod's containers have ended."""
        self._store.change(PODS, pod, lambda one: _mark(one, self._store.clock.now(), 0.0))
        self.finish(pod)

    def _delete_pod(self, pod: Object, grace: float | None) -> None:
        phase = (pod.get("status") or {}).get("phase")
        own = pod["spec"].get("terminationGracePeriodSeconds", 30)
        seconds = own if grace is None else grace
        if not pod["spec"].get("nodeName") or phase in ("Succeeded", "Failed"):
            seconds = 0.0
        known = pod["metadata"].get("deletionGracePeriodSeconds")
        if known is None or seconds < known:
            self._store.change(
                PODS, pod, lambda one: _mark(one, self._store.clock.now() + seconds, seconds)
            )
        self.finish(pod)

    def _mark(self, resource: Resource, thing: Object, finalizers: list[str]) -> None:
        def edit(one: Object) -> None:
            if "deletionTimestamp" not in one["metadata"]:
                _mark(one, self._store.clock.now(), 0.0)
                one["metadata"].setdefault("finalizers", []).extend(finalizers)

        self._store.change(resource, thing, edit)

    def _dependents(self, owner: Object) -> Iterator[tuple[Resource, Object]]:
        uid = owner["metadata"]["uid"]
        for resource in ALL:
            for thing in self._store.all(resource):
                if any(one["uid"] == uid for one in thing["metadata"].get("ownerReferences") or ()):
                    yield resource, thing

    def _collect(self, change: Change) -> None:
        gone = change.old if change.new is None else None
        if gone is None:
            return
        self._store.clock.after(_PAUSE, lambda: self._delete_dependents(gone))
        for reference in gone["metadata"].get("ownerReferences") or ():
            for resource in ALL:
                for owner in self._store.all(resource):
                    if owner["metadata"]["uid"] == reference["uid"]:
                        self._clear(resource, owner)

    def _delete_dependents(self, owner: Object) -> None:
        for resource, thing in list(self._dependents(owner)):
            self.delete(resource, thing, "Background")

    def _clear(self, resource: Resource, owner: Object) -> None:
        """Go on with the deletion of an owner that waits for its dependents."""
        now = self._store.find(
            resource, owner["metadata"].get("namespace", ""), owner["metadata"]["name"]
        )
        if now is None or _WAITS_FOR_DEPENDENTS not in (now["metadata"].get("finalizers") or ()):
            return
        left = list(self._dependents(now))
        for kind, thing in left:
            if "deletionTimestamp" not in thing["metadata"]:
                self.delete(kind, thing, "Background")
        if not list(self._dependents(now)):
            self._store.remove(resource, now)


def _mark(thing: Object, at: float, grace: float) -> None:
    thing["metadata"] |= {"deletionTimestamp": timestamp(at), "deletionGracePeriodSeconds": grace}


def _drop(thing: Object, finalizer: str) -> None:
    kept = [one for one in thing["metadata"].get("finalizers") or () if one != finalizer]
    thing["metadata"].pop("finalizers", None)
    if kept:
        thing["metadata"]["finalizers"] = kept


def _orphan(thing: Any) -> None:
    thing["metadata"].pop("ownerReferences", None)
    _drop(thing, TRACKING)

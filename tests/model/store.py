"""All objects with their versions, and what changed when: what etcd and the server's watch cache are."""

from __future__ import annotations

import copy
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.model.clock import Clock, timestamp
from tests.model.refusals import already_exists, modified, not_found
from tests.model.resources import EVENTS, Object, Resource

#: How many changes of a kind are kept, and for how many seconds more of them are.
RING, YOUNG = 100, 75.0


@dataclass(frozen=True)
class Change:
    """
    What a write did.

    :param old: ``None`` for a new object.
    :param new: ``None`` for one that is gone.
    """

    version: int
    at: float
    resource: Resource
    old: Object | None
    new: Object | None


class Store:
    """
    Holds objects. What it hands out must not be changed; :meth:`change` makes a new state of it.

    :param oldest: version before which changes of a kind are forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.version = 1000
        self.oldest: defaultdict[Resource, int] = defaultdict(lambda: 0)
        self._objects: dict[tuple[Resource, str, str], Object] = {}
        self._rings: defaultdict[Resource, deque[Change]] = defaultdict(deque)
        self._listeners: list[Callable[[Change], object]] = []

    def listen(self, hear: Callable[[Change], object]) -> Callable[[], None]:
        """Call somebody with each change; return what ends that."""
        self._listeners.append(hear)
        return lambda: self._listeners.remove(hear)

    def all(self, resource: Resource) -> Iterator[Object]:
        """Yield the objects of a kind, oldest first."""
        return iter([one for (kind, *_), one in self._objects.items() if kind == resource])

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._objects.get((resource, namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return an object; refuse if there is none."""
        found = self.find(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def is_there(self, resource: Resource, thing: Object) -> bool:
        """Whether this very object still exists, in whatever state."""
        now = self.find(resource, *_key(thing))
        return now is not None and now["metadata"]["uid"] == thing["metadata"]["uid"]

    def create(self, resource: Resource, thing: Object, *, keeps: bool = True) -> Object:
        """Add an object, unless the name is taken; ``keeps=False`` is a dry run."""
        made = copy.deepcopy(thing)
        namespace, name = _key(made)
        if (resource, namespace, name) in self._objects:
            raise already_exists(resource, name)
        made |= {"apiVersion": resource.api_version, "kind": resource.kind}
        made["metadata"] |= {
            "uid": str(uuid.UUID(int=(self.version << 32) + 1, version=4)),
            "creationTimestamp": timestamp(self.clock.now()),
            "generation": 1,
        }
        return self._write(resource, None, made) if keeps else made

    def change(
        self, resource: Resource, thing: Object, edit: Callable[[Object], object]
    ) -> Object | None:
        """
        Edit the newest state of an object, wherever it stands now.

        :return: the new state; ``None`` if it is gone, or another has its name.
        """
        if not self.is_there(resource, thing):
            return None
        stands = self.get(resource, *_key(thing))
        wanted = copy.deepcopy(stands)
        edit(wanted)
        return stands if wanted == stands else self._write(resource, stands, wanted)

    def replace(self, resource: Resource, wanted: Object) -> Object:
        """Write an edited state; refuse if somebody wrote since it was read."""
        stands = self.get(resource, *_key(wanted))
        if wanted["metadata"]["resourceVersion"] != stands["metadata"]["resourceVersion"]:
            raise modified(resource, wanted["metadata"]["name"])
        return stands if wanted == stands else self._write(resource, stands, wanted)

    def remove(self, resource: Resource, thing: Object) -> None:
        """Take an object away; its last state gets a version, too."""
        if not self.is_there(resource, thing):
            return
        last = copy.deepcopy(self._objects.pop((resource, *_key(thing))))
        self.version += 1
        last["metadata"]["resourceVersion"] = str(self.version)
        self._note(Change(self.version, self.clock.now(), resource, last, None))

    def changes(self, resource: Resource, since: int) -> list[Change]:
        """Return what is kept of the changes behind a version."""
        return [change for change in self._rings[resource] if change.version > since]

    def forget(self) -> None:
        """Forget all changes but those of events, as a restart of the server does."""
        for resource, ring in self._rings.items():
            if resource != EVENTS:
                ring.clear()
        self.oldest = defaultdict(lambda: self.version, {EVENTS: self.oldest[EVENTS]})

    def _write(self, resource: Resource, old: Object | None, new: Object) -> Object:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        key = (resource, *_key(new))
        self._objects[key] = new
        self._note(Change(self.version, self.clock.now(), resource, old, new))
        return new

    def _note(self, change: Change) -> None:
        ring = self._rings[change.resource]
        ring.append(change)
        while len(ring) > RING and change.at - ring[0].at > YOUNG:
            self.oldest[change.resource] = ring.popleft().version
        for hear in tuple(self._listeners):
            hear(change)


def _key(thing: Object) -> tuple[str, str]:
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]

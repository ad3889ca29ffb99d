"""Deleting a namespace: all that is in it goes first, and nothing new is taken meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.clock import timestamp
from tests.model.deletion import Deletion
from tests.model.resources import ALL, NAMESPACES, Object, Resource
from tests.model.store import Store

#: Seconds from one look of the controller at what is left to the next.
_PAUSE = 1.0


class NamespaceController:
    """Empties namespaces that are being deleted."""

    def __init__(self, store: Store, deletion: Deletion) -> None:
        self._store, self._deletion = store, deletion

    def delete(self, name: str) -> None:
        """Begin to delete a namespace, if it is there."""
        home = self._store.find(NAMESPACES, "", name)
        if home is not None and "deletionTimestamp" not in home["metadata"]:
            now = timestamp(self._store.clock.now())
            self._store.change(
                NAMESPACES, home, lambda one: one["metadata"].update(deletionTimestamp=now)
            )
            self._empty(home)

    def _empty(self, home: Object) -> None:
        left = list(self._content(home["metadata"]["name"]))
        for kind, thing in left:
            if "deletionTimestamp" not in thing["metadata"]:
                self._deletion.delete(kind, thing, "Background")
        if left:
            self._store.clock.after(_PAUSE, lambda: self._empty(home))
        else:
            self._store.remove(NAMESPACES, home)

    def _content(self, namespace: str) -> Iterator[tuple[Resource, Object]]:
        for kind in ALL:
            for thing in self._store.all(kind):
                if thing["metadata"].get("namespace") == namespace:
                    yield kind, thing

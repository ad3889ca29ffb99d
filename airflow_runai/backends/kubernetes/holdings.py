"""What a mirror shows: the newest state of each object, as far as it was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_runai.backends.kubernetes.bells import Bells
from airflow_runai.backends.kubernetes.objects import meta
from airflow_runai.errors import Unreadable

V = TypeVar("V")


@dataclass(slots=True)
class Held(Generic[V]):
    """
    One object.

    :param owner: uid of the workload that it belongs to.
    :param version: its resourceVersion, equal only if the object is.
    :param value: what is kept of its newest state; ``None`` if that cannot be read.
    :param is_gone: it is no longer listed. It may still exist: a label was removed, or the list
        was wrong; so read it by itself before you conclude anything.
    """

    uid: str
    owner: str
    version: str
    value: V | None
    is_gone: bool = False


class Holdings(Generic[V]):
    """
    All objects of one kind, found by their own uid and by that of their workload.

    :param keep: returns what to keep of an object; raises ``Unreadable``. A thousand are held:
        keep little.
    :param owner: returns the uid of the workload that an object belongs to.
    """

    def __init__(
        self,
        keep: Callable[[Mapping[str, Any]], V],
        owner: Callable[[Mapping[str, Any]], str],
        bells: Bells,
    ) -> None:
        self._keep, self._owner, self._bells = keep, owner, bells
        self._by_uid: dict[str, Held[V]] = {}
        self._by_owner: dict[str, list[Held[V]]] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def get(self, uid: str) -> Held[V] | None:
        """Return an object, ``None`` for what was never seen."""
        return self._by_uid.get(uid)

    def of(self, owner: str) -> tuple[Held[V], ...]:
        """Return the objects of a workload, in the order in which they appeared."""
        return tuple(self._by_owner.get(owner, ()))

    def see(self, found: Mapping[str, Any]) -> bool:
        """Take note of an object; ring if it is new or has changed, and return whether it rang."""
        uid, version = meta(found, "uid"), meta(found, "resourceVersion")
        if not uid:
            return False  # nobody could ask for it
        held = self._by_uid.get(uid)
        if held and held.version == version and not held.is_gone:
            return False
        try:
            value = self._keep(found)
        except Unreadable:
            value = None
        if held is None:
            self._add(Held(uid, self._owner(found), version, value))
        else:
            held.version, held.value, held.is_gone = version, value, False
        return self._bells.ring(self._by_uid[uid].owner)

    def lose(self, found: Mapping[str, Any]) -> bool:
        """Take note of the last state of an object that is no longer listed; ring."""
        self.see(found)
        return self._lose(meta(found, "uid"))

    def lose_all_but(self, seen: set[str]) -> Iterator[bool]:
        """Take note of a whole list; forget what it lacks, and nobody waits for."""
        for uid in [uid for uid in self._by_uid if uid not in seen]:
            if self._by_uid[uid].is_gone:
                self._forget_unless_awaited(self._by_uid[uid])
            else:
                yield self._lose(uid)

    def _lose(self, uid: str) -> bool:
        held = self._by_uid.get(uid)
        if held is None:
            return False
        held.is_gone = True
        self._forget_unless_awaited(held)
        return self._bells.ring(held.owner)

    def _add(self, held: Held[V]) -> None:
        self._by_uid[held.uid] = held
        self._by_owner.setdefault(held.owner, []).append(held)

    def _forget_unless_awaited(self, held: Held[V]) -> None:
        if held.owner in self._bells:
            return
        del self._by_uid[held.uid]
        siblings = self._by_owner[held.owner]
        siblings.remove(held)
        if not siblings:
            del self._by_owner[held.owner]

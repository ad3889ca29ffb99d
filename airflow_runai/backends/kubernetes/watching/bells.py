"""What wakes waits: each has a bell, and each change rings those of its workload."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.core.flow import Signal


class Bells:
    """
    The bells of all waits in one namespace, found by the uid of the workload.

    Several reflectors ring them: that of Jobs and that of pods.
    """

    def __init__(self) -> None:
        # Nearly always one: a list takes twice the memory.
        self._by_uid: dict[str, tuple[Bell, ...]] = {}

    def bell(self, uid: str) -> Bell:
        """Return a bell for one wait; enter it to begin."""
        return Bell(self, uid)

    def hang(self, bell: Bell) -> None:
        """Let a bell be rung."""
        self._by_uid[bell.uid] = (*self._by_uid.get(bell.uid, ()), bell)

    def take_down(self, bell: Bell) -> None:
        """Forget a bell."""
        others = tuple(one for one in self._by_uid.pop(bell.uid) if one is not bell)
        if others:
            self._by_uid[bell.uid] = others

    def __iter__(self) -> Iterator[str]:
        """Return the uids of the workloads for which somebody waits."""
        return iter(tuple(self._by_uid))

    def __contains__(self, uid: object) -> bool:
        """Whether somebody waits for this workload."""
        return uid in self._by_uid

    def __len__(self) -> int:
        """Return for how many workloads somebody waits."""
        return len(self._by_uid)

    def ring(self, uid: str) -> bool:
        """Wake the waits of a workload; return whether there are any."""
        bells = self._by_uid.get(uid, ())
        for bell in bells:
            bell.set()
        return bool(bells)

    def ring_all(self) -> Iterator[bool]:
        """Wake the waits of each workload in turn."""
        for uid in self:
            yield self.ring(uid)


class Bell(Signal):
    """
    Wakes one wait, again and again.

    A change between two waits is not missed: the bell stays set until it is stilled.
    """

    __slots__ = ("_bells", "uid")

    def __init__(self, bells: Bells, uid: str) -> None:
        super().__init__()
        self.uid = uid
        self._bells = bells

    def __enter__(self) -> Bell:
        self._bells.hang(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._bells.take_down(self)

    def still(self) -> bool:
        """Let it ring anew; return whether it has rung."""
        has_rung, self._is_set = self._is_set, False
        return has_rung

"""What wakes waits: each has a bell, and each change rings those of its workload."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.core.flow import Flow, Signal, Wait


class Bells:
    """
    The bells of all waits in one namespace, found by the uid of the workload.

    Several reflectors ring them: that of Jobs and that of pods.
    """

    def __init__(self) -> None:
        self._by_uid: dict[str, list[Bell]] = {}

    def bell(self, uid: str) -> Bell:
        """Return a bell for one wait; enter it to begin."""
        return Bell(self, uid)

    def hang(self, bell: Bell) -> None:
        """Let a bell be rung."""
        self._by_uid.setdefault(bell.uid, []).append(bell)

    def take_down(self, bell: Bell) -> None:
        """Forget a bell."""
        bells = self._by_uid[bell.uid]
        bells.remove(bell)
        if not bells:
            del self._by_uid[bell.uid]

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
        for bell in tuple(bells):
            bell.ring()
        return bool(bells)

    def ring_all(self) -> Iterator[bool]:
        """Wake the waits of each workload in turn."""
        for uid in self:
            yield self.ring(uid)


class Bell:
    """
    Wakes one wait.

    A change between two waits is not missed: the bell stays rung until somebody waits for it.
    """

    __slots__ = ("_bells", "_is_rung", "_signal", "uid")

    def __init__(self, bells: Bells, uid: str) -> None:
        self.uid = uid
        self._bells = bells
        self._is_rung = False
        self._signal: Signal | None = None

    def __enter__(self) -> Bell:
        self._bells.hang(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._bells.take_down(self)

    def ring(self) -> None:
        """Wake the wait."""
        self._is_rung = True
        if self._signal:
            self._signal.set()

    def wait(self, seconds: float) -> Flow[bool]:
        """Sleep until it rings, at most so many seconds; return whether it did."""
        if not self._is_rung:
            self._signal = Signal()
            yield Wait(self._signal, seconds)
            self._signal = None
        rung, self._is_rung = self._is_rung, False
        return rung

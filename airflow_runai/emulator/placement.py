"""
Free GPUs of a cluster, device by device, and on which node a pod goes.

Pure arithmetic: it does not know who may have what (that is ``scheduler.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_GRAIN = 10_000  # shares are counted in whole ten-thousandths, so that 3 x 0.1 and 0.3 are the same


@dataclass(frozen=True)
class Slot:
    """
    What one pod holds.

    :param node: name of the node.
    :param gpus: device numbers on that node; empty for a pod without GPU.
    :param share: part of each device, in (0, 1].
    """

    node: str
    gpus: tuple[int, ...] = ()
    share: float = 1.0


class Room:
    """
    What is free, seen twice: now, and soon, when everybody who has been told to go is gone.

    A reservation takes from soon only, preferably what is not free now: others may start there
    meanwhile.
    """

    def __init__(self, nodes: Mapping[str, _Node]) -> None:
        self._nodes = dict(nodes)

    @classmethod
    def of(cls, nodes: Mapping[str, int]) -> Room:
        """Give the picture of an empty cluster, from the number of GPUs per node."""
        return cls(
            {name: _Node((_GRAIN,) * gpus, (_GRAIN,) * gpus) for name, gpus in nodes.items()}
        )

    def copy(self) -> Room:
        """Give an equal picture to try things on."""
        return Room(self._nodes)

    @property
    def soon(self) -> float:
        """GPUs of the whole cluster that are free soon."""
        return sum(node.free for node in self._nodes.values()) / _GRAIN

    def take(self, slots: Iterable[Slot]) -> None:
        """Let somebody hold these slots."""
        for slot in slots:
            self._change(slot, now=-1, soon=-1)

    def expect(self, slots: Iterable[Slot]) -> None:
        """Take note that whoever holds these slots is leaving."""
        for slot in slots:
            self._change(slot, now=0, soon=+1)

    def place(
        self, pods: Sequence[float], avoid: frozenset[str] = frozenset()
    ) -> tuple[Slot, ...] | None:
        """
        Find slots that are free now, and take them.

        :param pods: GPUs per pod, as in :class:`Job`.
        :param avoid: nodes to use only when nothing else is free.
        :return: one slot a pod in the same order, or None when they do not all fit.
        """
        return self._fit(pods, now=True, avoid=avoid)

    def reserve(
        self, pods: Sequence[float], avoid: frozenset[str] = frozenset(), home: Sequence[Slot] = ()
    ) -> tuple[Slot, ...] | None:
        """
        Find slots that are free soon, and keep them from those who come later.

        :param home: where the pods were until now; the same slot is preferred to another one on the
            same node.
        """
        return self._fit(pods, now=False, avoid=avoid, home=home)

    def _fit(
        self, pods: Sequence[float], now: bool, avoid: frozenset[str], home: Sequence[Slot] = ()
    ) -> tuple[Slot, ...] | None:
        after, found = self.copy(), dict[int, Slot]()
        for index in sorted(range(len(pods)), key=lambda index: -pods[index]):
            slot = after._choose(pods[index], now, avoid, home[index] if home else None)
            if slot is None:
                return None
            after._change(slot, now=-1 if now else 0, soon=-1)
            found[index] = slot
        self._nodes = after._nodes
        return tuple(found[index] for index in range(len(pods)))

    def _choose(
        self, gpus: float, now: bool, avoid: frozenset[str], home: Slot | None
    ) -> Slot | None:
        """Prefer a node where it fits now, then one not to be avoided, then the fullest, then the first by name."""
        best: tuple[bool, bool, int, str] | None = None
        for name, node in self._nodes.items():
            if gpus > 0 and node.free < _grains(gpus):
                continue
            at_once = node.fits(gpus, now=True)
            if at_once or (not now and node.fits(gpus, now=False)):
                rank = (not at_once, name in avoid, node.free, name)
                best = min(best, rank) if best else rank
        if best is None:
            return None
        node = self._nodes[best[3]]
        if home and home.node == best[3] and node.can_give(home):
            return home
        return node.slot(best[3], gpus, now)

    def _change(self, slot: Slot, now: int, soon: int) -> None:
        if slot.gpus and slot.node in self._nodes:
            self._nodes[slot.node] = self._nodes[slot.node].changed(slot, now, soon)


class _Node:
    """The free ten-thousandths of each device of a node, now and soon."""

    __slots__ = ("_now", "_soon", "free")

    def __init__(self, now: tuple[int, ...], soon: tuple[int, ...]) -> None:
        self._now, self._soon = now, soon
        self.free = sum(soon)

    def fits(self, gpus: float, now: bool) -> bool:
        """Whether a pod finds its devices here."""
        return gpus <= 0 or len(self._devices(gpus, now)) >= max(1, int(gpus))

    def slot(self, name: str, gpus: float, now: bool) -> Slot:
        """Give a pod that fits its devices; a share goes to the fullest."""
        if gpus <= 0:
            return Slot(name)
        devices = self._devices(gpus, now)
        if gpus < 1:
            return Slot(
                name, (min(devices, key=lambda number: (self._soon[number], number)),), gpus
            )
        later_first = sorted(devices, key=lambda number: (self._now[number] == _GRAIN, number))
        return Slot(name, tuple(sorted(later_first[: int(gpus)])))

    def can_give(self, slot: Slot) -> bool:
        """Whether exactly these devices are free soon."""
        need = _grains(slot.share)
        return all(number < len(self._soon) and self._soon[number] >= need for number in slot.gpus)

    def changed(self, slot: Slot, now: int, soon: int) -> _Node:
        """
        Give the node after a slot was taken (-1), released (+1) or left as it is (0), now and soon.
        """
        before, after = list(self._now), list(self._soon)
        for number in slot.gpus:
            if number < len(before):
                before[number] += now * _grains(slot.share)
                after[number] += soon * _grains(slot.share)
        return _Node(tuple(before), tuple(after))

    def _devices(self, gpus: float, now: bool) -> list[int]:
        need = _grains(min(gpus, 1.0))
        pairs = enumerate(zip(self._now, self._soon, strict=True))
        return [
            number
            for number, (at_once, later) in pairs
            if later >= need and (at_once >= need or not now)
        ]


def _grains(share: float) -> int:
    return max(1, round(share * _GRAIN))

"""
Free GPUs of a cluster, device by device, and how a gang of pods fits on them.

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


class Free:
    """An immutable picture of what is free: per node, the free ten-thousandths of each device."""

    def __init__(self, devices: Mapping[str, Sequence[int]]) -> None:
        self._devices = {node: list(parts) for node, parts in devices.items()}

    @classmethod
    def of(cls, nodes: Mapping[str, int], held: Iterable[Slot]) -> Free:
        """Take what is held from what there is."""
        return cls({node: [_GRAIN] * count for node, count in nodes.items()}).taking(held)

    def copy(self) -> Free:
        """Give an equal picture."""
        return Free(self._devices)

    def taking(self, slots: Iterable[Slot]) -> Free:
        """Give the picture after these slots were taken (negative counts mean: not yet released)."""
        return self._changed(slots, -1)

    def without(self, slots: Iterable[Slot]) -> Free:
        """Give the picture after these slots were released."""
        return self._changed(slots, +1)

    def fit(self, pods: Sequence[float], avoid: frozenset[str] = frozenset()) -> tuple[Slot, ...] | None:
        """
        Find room for all pods at once.

        :param pods: GPUs per pod, as in :class:`Job`.
        :param avoid: nodes to use only when nothing else is free.
        :return: one slot a pod in the same order, or None when they do not all fit.
        """
        biggest_first = sorted(range(len(pods)), key=lambda index: -pods[index])
        room, found = self.copy(), {}
        for index in biggest_first:
            slot = room._fit_one(pods[index], avoid)
            if slot is None:
                return None
            found[index] = slot
            room._take(slot, -1)
        return tuple(found[index] for index in range(len(pods)))

    def _fit_one(self, gpus: float, avoid: frozenset[str]) -> Slot | None:
        for node in sorted(self._devices, key=lambda name: self._preference(name, avoid)):
            slot = self._fit_on(node, gpus)
            if slot is not None:
                return slot
        return None

    def _preference(self, node: str, avoid: frozenset[str]) -> tuple[bool, int, str]:
        """Order nodes: not avoided, then fullest first (Run:ai packs by default), then by name."""
        return (node in avoid, sum(self._devices[node]), node)

    def _fit_on(self, node: str, gpus: float) -> Slot | None:
        parts = self._devices[node]
        if gpus <= 0:
            return Slot(node)
        if gpus < 1:
            need = _grains(gpus)
            roomy = [(part, number) for number, part in enumerate(parts) if part >= need]
            return Slot(node, (min(roomy)[1],), gpus) if roomy else None
        whole = [number for number, part in enumerate(parts) if part == _GRAIN]
        return Slot(node, tuple(whole[: int(gpus)])) if len(whole) >= int(gpus) else None

    def _changed(self, slots: Iterable[Slot], sign: int) -> Free:
        after = self.copy()
        for slot in slots:
            after._take(slot, sign)
        return after

    def _take(self, slot: Slot, sign: int) -> None:
        for number in slot.gpus:
            if slot.node in self._devices and number < len(self._devices[slot.node]):
                self._devices[slot.node][number] += sign * _grains(slot.share)


def _grains(share: float) -> int:
    return max(1, round(share * _GRAIN))

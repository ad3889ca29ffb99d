"""
Free GPUs of a cluster, device by device, and the node on which a pod goes.

Pure arithmetic: who may have which GPUs is decided in ``scheduler.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_GRAIN = 10_000  # shares are counted in whole ten-thousandths, so that 3 x 0.1 and 0.3 are the same


@dataclass(frozen=True)
class Slot:
    """
    The GPUs that one pod holds.

    :param node: name of the node.
    :param gpus: device numbers on that node; empty for a pod without GPU.
    :param share: part of each device, in (0, 1].
    """

    node: str
    gpus: tuple[int, ...] = ()
    share: float = 1.0

    @cached_property
    def grains(self) -> int:
        """The part of each device in ten-thousandths."""
        return _grains(self.share)


#: The slots of one job, one a pod.
Places = tuple[Slot, ...]


class Room:
    """
    The free GPUs, counted twice: now, and soon, when the pods that are being stopped have gone.

    A reservation takes from the GPUs that are free soon, preferably not from those that are free
    now: others may start there in the meantime.
    """

    def __init__(self, nodes: Mapping[str, _Node]) -> None:
        self._nodes = dict(nodes)

    @classmethod
    def of(cls, nodes: Mapping[str, int]) -> Room:
        """Build the room of an empty cluster from the number of GPUs per node."""
        free = {name: (_GRAIN,) * gpus for name, gpus in nodes.items()}
        return cls({name: _Node(devices, devices) for name, devices in free.items()})

    def copy(self) -> Room:
        """Copy the room to try decisions on."""
        # Nodes are never changed but replaced, so copies may share them.
        return Room(self._nodes)

    @property
    def soon(self) -> float:
        """GPUs of the whole cluster that are free soon."""
        return sum(node.free for node in self._nodes.values()) / _GRAIN

    def release_soon(self, slots: Iterable[Slot]) -> None:
        """Record that the pods in these slots are leaving."""
        self.change(
            slots,
            now=0,
            soon=+1,
        )

    def change(
        self,
        slots: Iterable[Slot],
        now: int,
        soon: int,
    ) -> None:
        """Take slots (-1), release them (+1) or leave them alone (0)."""
        for slot in slots:
            node = self._nodes.get(slot.node)
            # A node may be lost while pods still hold its devices.
            if slot.gpus and node is not None:
                self._nodes[slot.node] = node.changed(slot, now, soon)

    def place(self, pods: Sequence[float], avoid: frozenset[str] = frozenset()) -> Places | None:
        """
        Find slots that are free now, and take them.

        :param pods: GPUs per pod, as in :class:`Job`.
        :param avoid: nodes to use only if no other fits.
        :return: one slot a pod in the same order, or None if they do not all fit.
        """
        return self._fit(
            pods,
            now=True,
            avoid=avoid,
        )

    def reserve(
        self,
        pods: Sequence[float],
        avoid: frozenset[str] = frozenset(),
        home: Sequence[Slot] = (),
    ) -> Places | None:
        """
        Find slots that are free soon, and keep them from jobs that come later.

        :param home: where the pods were until now; the same slot is preferred to another one on the
            same node.
        """
        return self._fit(
            pods,
            now=False,
            avoid=avoid,
            home=home,
        )

    def _fit(
        self,
        pods: Sequence[float],
        now: bool,
        avoid: frozenset[str],
        home: Sequence[Slot] = (),
    ) -> Places | None:
        """Place the largest pod first; take nothing unless all fit."""
        # All pods or none: a gang that is half placed would block GPUs for nothing.
        after = self.copy()
        slots: dict[int, Slot] = {}
        # Small pods find a place in what large ones leave, not the other way round.
        largest_first = sorted(range(len(pods)), key=lambda index: -pods[index])
        for index in largest_first:
            slot = after._choose(pods[index], now, avoid, home[index] if home else None)
            if slot is None:
                return None
            after.change(
                [slot],
                now=-1 if now else 0,
                soon=-1,
            )
            slots[index] = slot
        self._nodes = after._nodes
        return tuple(slots[index] for index in range(len(pods)))

    def _choose(
        self,
        gpus: float,
        now: bool,
        avoid: frozenset[str],
        home: Slot | None,
    ) -> Slot | None:
        """Prefer nodes with room now, then those not to avoid, then the fullest, then by name."""
        ranks = []
        for name, node in self._roomy_nodes(gpus):
            fits_now = node.fits(gpus, now=True)
            if fits_now or (not now and node.fits(gpus, now=False)):
                ranks.append((not fits_now, name in avoid, node.free, name))
        if not ranks:
            return None
        *_, best = min(ranks)
        node = self._nodes[best]
        # A pod that keeps its devices need not be moved.
        if home and home.node == best and node.can_give(home):
            return home
        return node.slot(best, gpus, now)

    def _roomy_nodes(self, gpus: float) -> Iterable[tuple[str, _Node]]:
        if gpus <= 0:
            return self._nodes.items()
        # The sum decides most cases without a look at the devices.
        least = _grains(gpus)
        return [item for item in self._nodes.items() if item[1].free >= least]


class _Node:
    """The free ten-thousandths of each device of a node, now and soon."""

    def __init__(self, now: tuple[int, ...], soon: tuple[int, ...]) -> None:
        self._now = now
        self._soon = soon
        self.free = sum(soon)

    def fits(self, gpus: float, now: bool) -> bool:
        """Whether a pod finds its devices here."""
        if gpus <= 0:
            return True
        # Whole devices are what most pods want, and each pod asks all nodes.
        if gpus >= 1:
            return len(self._whole_now if now else self._whole_soon) >= int(gpus)
        return bool(self._devices(gpus, now))

    def slot(
        self,
        name: str,
        gpus: float,
        now: bool,
    ) -> Slot:
        """Choose a pod's devices among those that fit; a share goes to the fullest."""
        if gpus <= 0:
            return Slot(name)
        devices = self._devices(gpus, now)
        if gpus < 1:
            fullest = min(devices, key=lambda number: (self._soon[number], number))
            return Slot(name, (fullest,), gpus)
        # Devices that are not free now first: other pods can start on the free ones meanwhile.
        later_first = sorted(devices, key=lambda number: (self._now[number] == _GRAIN, number))
        return Slot(name, tuple(sorted(later_first[: int(gpus)])))

    def can_give(self, slot: Slot) -> bool:
        """Whether exactly these devices are free soon."""
        count = len(self._soon)
        return all(number < count and self._soon[number] >= slot.grains for number in slot.gpus)

    def changed(
        self,
        slot: Slot,
        now: int,
        soon: int,
    ) -> _Node:
        """Return the node after a slot was taken (-1), released (+1) or left alone (0)."""
        free_now = list(self._now)
        free_soon = list(self._soon)
        for number in slot.gpus:
            if number < len(free_now):
                free_now[number] += now * slot.grains
                free_soon[number] += soon * slot.grains
        return _Node(tuple(free_now), tuple(free_soon))

    @cached_property
    def _whole_now(self) -> list[int]:
        return self._devices(1.0, now=True)

    @cached_property
    def _whole_soon(self) -> list[int]:
        return self._devices(1.0, now=False)

    def _devices(self, gpus: float, now: bool) -> list[int]:
        need = _grains(min(gpus, 1.0))
        later = [number for number, free in enumerate(self._soon) if free >= need]
        return [number for number in later if self._now[number] >= need] if now else later


def _grains(share: float) -> int:
    return _GRAIN if share == 1 else max(1, round(share * _GRAIN))

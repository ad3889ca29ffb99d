"""
Room: the GPUs that a project may and can have now, and whether a request fits into them.

What cannot be read bounds nothing. Whoever must not go on without a figure asks for
:attr:`ProjectRoom.unread`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.quota import Quota, gpu_count, over_cluster, over_limit, over_quota
from airflow_runai.core.slots import RunSlots, by_digest
from airflow_runai.core.texts import cut

NOW, QUOTA, IDLE = "now", "quota", "idle"
#: Which GPUs a request waits for.
WHEN = (QUOTA, IDLE)
#: The same for a submission; ``now`` waits for none.
SUBMIT_WHEN = (NOW, *WHEN)

#: The figures that a room is made of, by what has to be read for them.
PROJECT, WORKLOADS, NODES = "the quota", "the workloads", "the free GPUs"
_NEEDED = {NOW: (WORKLOADS,), QUOTA: (PROJECT, WORKLOADS), IDLE: (NODES, WORKLOADS)}
#: Parts of a GPU are decimal fractions, which do not add up exactly.
_EXACT = 1e-6
NO_BOUNDS = Quota(None, None)


@dataclass(frozen=True)
class ProjectRoom:
    """
    GPUs of a project at one moment, in its cluster or in one node pool.

    :param quota: what it is guaranteed, and its limit.
    :param held: what its workloads hold; ``None`` if not known.
    :param queued: what its workloads wait for in Run:ai's own queue.
    :param free: GPUs that nobody holds; ``None`` if not known.
    :param total: all GPUs; ``None`` if not known.
    :param workloads: names of its workloads that have not ended.
    :param unread: what the server does not tell.
    :param ended: names of its workloads that ended a short while ago, if they were asked for.
    """

    quota: Quota = NO_BOUNDS
    held: float | None = None
    queued: float = 0.0
    free: float | None = None
    total: float | None = None
    workloads: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()
    ended: frozenset[str] = frozenset()

    @cached_property
    def live(self) -> Mapping[str, Sequence[str]]:
        """The same workloads by the digest in their names."""
        return by_digest(self.workloads)

    @property
    def seen(self) -> frozenset[str]:
        """Names of workloads that were submitted, whatever has become of them."""
        return self.workloads | self.ended

    def left(self, when: str) -> float:
        """
        Return the GPUs that one more workload may have; infinite without a bound.

        GPUs that the project's own workloads queue for count as taken, because those come first.
        """
        if when == NOW:
            return math.inf
        first = self._below(self.quota.deserved) if when == QUOTA else self._idle()
        return min(first, self._below(self.quota.limit))

    def _below(self, bound: float | None) -> float:
        return math.inf if bound is None or self.held is None else bound - self.held - self.queued

    def _idle(self) -> float:
        return math.inf if self.free is None else self.free - self.queued

    def missing(self, when: str) -> tuple[str, ...]:
        """Return the figures that are needed for an answer, and that the server does not tell."""
        return tuple(figure for figure in self.unread if figure in _NEEDED[when])

    def figures(self) -> JsonObject:
        """Return the figures by name, as tasks return them; ``None`` for no bound or unknown."""
        return {
            "quota": self.quota.deserved,
            "limit": self.quota.limit,
            "held": self.held,
            "queued": self.queued,
            "free": self.free,
            "total": self.total,
        }

    def __str__(self) -> str:
        named = self.figures().items()
        return ", ".join(f"{name} {value:g}" for name, value in named if value is not None)


@dataclass(frozen=True)
class Need:
    """
    What a request waits for.

    :param when: ``quota``: it fits into what the project is guaranteed and does not use; ``idle``:
        so many GPUs are held by nobody, whether or not they are within the quota. The project's
        limit holds in both cases. ``now``: it waits for no GPU.
    :param gpus: so many.
    :param share: instead of a number, this part of the quota, or of all GPUs; in (0, 1].
    :param slots: one of them, too.
    """

    when: str
    gpus: float = 1.0
    share: float | None = None
    slots: RunSlots | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Need:
        """Read what :meth:`to_json` wrote."""
        slots = value.get("slots")
        return cls(**{**value, "slots": RunSlots.from_json(slots) if slots else None})

    def to_json(self) -> JsonObject:
        """Return plain JSON values."""
        return asdict(self)

    def gpus_in(self, room: ProjectRoom) -> float:
        """Return the number of GPUs; 0 for a share of what has no bound."""
        if self.share is None:
            return self.gpus
        whole = room.quota.deserved if self.when == QUOTA else room.total
        return self.share * (whole or 0.0)

    def fits(self, room: ProjectRoom, promised: float = 0.0) -> bool:
        """
        Tell whether there is room.

        :param promised: GPUs that others will take, and that the figures do not show yet.
        """
        return room.left(self.when) - promised >= self.gpus_in(room) - _EXACT

    def full(self, room: ProjectRoom, digest: str, coming: Iterable[str] = ()) -> str:
        """
        Say who has all the slots; an empty text if one is free.

        :param digest: of the task that asks.
        :param coming: digests of those whose workloads no list shows yet.
        """
        slots = self.slots
        holders = slots.holders(room.live, coming, digest) if slots else []
        if slots is None or not slots.are_full(holders):
            return ""
        named = cut(", ".join(holders))
        return f"{len(holders)} of {slots.limit} slots of its run are taken: {named}"

    def hopeless(self, room: ProjectRoom) -> str:
        """Say why no waiting helps, as long as nobody changes the project; else an empty text."""
        gpus = self.gpus_in(room)
        beyond_quota = over_quota(gpus, room.quota) if self.when == QUOTA else ""
        return over_limit(gpus, room.quota) or beyond_quota

    def too_large(self, room: ProjectRoom) -> str:
        """Say that the cluster has fewer GPUs now; an empty text if not. Nodes come back."""
        return over_cluster(self.gpus_in(room), room.total) if self.when == IDLE else ""

    def __str__(self) -> str:
        if self.when == NOW:
            return "a workload"
        if self.share is None:
            return gpu_count(self.gpus)
        return f"{self.share:.0%} of {'the quota' if self.when == QUOTA else 'all GPUs'}"

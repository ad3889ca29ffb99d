"""
Places: how many workloads of one run may live at the same time, and who has a place.

Workloads are known by their names, which are computed and not remembered. So what a worker left
behind that crashed has a place, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from airflow_runai.core.naming import TaskIdentity, digest_in


@dataclass(frozen=True)
class Places:
    """
    The places of the workloads of some tasks of a run.

    :param limit: so many, from 1.
    :param instance: name of the Airflow installation.
    :param task_ids: the tasks, whose workloads count together.
    :param instances: mapped instances of a task, at most.
    """

    limit: int
    instance: str
    dag_id: str
    run_id: str
    task_ids: tuple[str, ...]
    instances: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Places:
        """Read what ``dataclasses.asdict`` wrote."""
        return cls(**{**value, "task_ids": tuple(value["task_ids"])})

    def holders(self, live: Iterable[str], coming: Iterable[str], digest: str) -> list[str]:
        """
        Return who has a place, other than the task that asks: its own workload is in nobody's way.

        :param live: names of workloads.
        :param coming: digests of tasks whose workloads no list shows yet.
        :param digest: of the task that asks.
        """
        others = _digests(self) - {digest}
        named = sorted(name for name in live if digest_in(name) in others)
        return [*named, *sorted(others.intersection(coming))]

    def are_full(self, holders: Collection[str]) -> bool:
        """Tell whether one more would be too many."""
        return len(holders) >= self.limit


@lru_cache(maxsize=32)
def _digests(places: Places) -> frozenset[str]:
    """Return the digests of all instances, and of a task that is not mapped (-1)."""
    origin = (places.instance, places.dag_id, places.run_id)
    return frozenset(
        TaskIdentity(*origin, task_id, index).digest()
        for task_id in places.task_ids
        for index in range(-1, places.instances)
    )


@dataclass(frozen=True)
class Claim:
    """
    What a worker says before it looks: its workload may be there in a moment.

    :param name: of the workload.
    :param until: epoch seconds; until then it counts, unless a list shows the workload.
    """

    name: str
    until: float

    @classmethod
    def from_json(cls, value: object) -> Claim | None:
        """Read a claim; ``None`` for anything else, for anyone may write where it was read."""
        if not isinstance(value, Mapping):
            return None
        name, until = value.get("name"), value.get("until")
        if not isinstance(name, str) or isinstance(until, bool):
            return None
        return cls(name, float(until)) if isinstance(until, (int, float)) else None


def coming(claims: Iterable[Claim], seen: Collection[str], moment: float) -> list[str]:
    """Return the digests of those who have claimed a place and whose workloads were not seen."""
    open_ones = [one for one in claims if moment < one.until and one.name not in seen]
    return [digest for one in open_ones if (digest := digest_in(one.name))]

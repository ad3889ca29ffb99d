"""
Slots: how many workloads of one run may live at the same time, and who has a slot.

Workloads are known by their names, which are computed and not remembered. So what a worker left
behind that crashed has a slot, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

from airflow_runai.core.naming import TaskIdentity, digest_in

_DIGESTS: WeakValueDictionary[tuple[object, ...], frozenset[str]] = WeakValueDictionary()


@dataclass(frozen=True)
class RunSlots:
    """
    The slots of the workloads of some tasks of a run.

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
    def from_json(cls, value: Mapping[str, Any]) -> RunSlots:
        """Read what ``dataclasses.asdict`` wrote."""
        return cls(**{**value, "task_ids": tuple(value["task_ids"])})

    def holders(
        self, live: Mapping[str, Sequence[str]], coming: Iterable[str], digest: str
    ) -> list[str]:
        """
        Return who has a slot, other than the task that asks: its own workload is in nobody's way.

        :param live: names of workloads, as :func:`by_digest` returns them.
        :param coming: digests of tasks whose workloads no list shows yet.
        :param digest: of the task that asks.
        """
        ours = self.digests
        named = [
            name for found in ours.intersection(live) if found != digest for name in live[found]
        ]
        return [*sorted(named), *sorted(ours.intersection(coming) - {digest})]

    @cached_property
    def digests(self) -> frozenset[str]:
        """Those of all instances, and of tasks that are not mapped (-1)."""
        # All who wait in a run share one set, which is forgotten with the last of them.
        origin = (self.instance, self.dag_id, self.run_id)
        tasks = (*origin, self.task_ids, self.instances)
        found = _DIGESTS.get(tasks)
        if found is None:
            _DIGESTS[tasks] = found = frozenset(
                TaskIdentity(*origin, task_id, index).digest()
                for task_id in self.task_ids
                for index in range(-1, self.instances)
            )
        return found

    def are_full(self, holders: Collection[str]) -> bool:
        """Tell whether one more would be too many."""
        return len(holders) >= self.limit


def by_digest(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of workloads by the digest in them; those without one are left out."""
    found: dict[str, list[str]] = {}
    for name in names:
        if digest := digest_in(name):
            found.setdefault(digest, []).append(name)
    return found


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
    """Return the digests of those who have claimed a slot and whose workloads were not seen."""
    open_ones = [one for one in claims if moment < one.until and one.name not in seen]
    return [digest for one in open_ones if (digest := digest_in(one.name))]

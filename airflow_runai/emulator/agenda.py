"""
Which workloads a step must look at: those that have changed, and those whose time has come.

Hundreds of workloads wait for an instant hours away; to look at each of them at every step was most
of the work. Whoever changes a workload notes it here. To look at one too often does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from airflow_runai.emulator.records import EmulatedWorkload

#: The time of a workload that must be looked at in every step.
ALWAYS = -math.inf
_NEVER = math.inf


class Agenda:
    """
    When each workload has to be looked at.

    :param workloads: all workloads in the order of their creation, by id; others add to it.
    :param due: when something will happen to a workload by itself; None for never.
    """

    def __init__(
        self,
        workloads: dict[str, EmulatedWorkload],
        due: Callable[[EmulatedWorkload], float | None],
    ) -> None:
        self._workloads = workloads
        self._due = due
        self._times: dict[str, float] = {}
        self._changed: set[str] = set()

    def note(self, workload: EmulatedWorkload) -> None:
        """Record that a workload has changed, so that the next step looks at it."""
        self._changed.add(workload.id)

    def note_all(self) -> None:
        """Record that any workload may have changed."""
        self._changed.update(self._workloads)

    def take(self, now: float) -> list[EmulatedWorkload]:
        """Return the workloads to look at now, the oldest first; the changes count as seen."""
        self._follow()
        changed = self._changed
        self._changed = set()
        times = self._times.items()
        ready = [one for one, at in times if at <= now or one in changed]
        return [self._workloads[one] for one in ready]

    def plan(self, workloads: Iterable[EmulatedWorkload]) -> None:
        """Decide when to look at these workloads again."""
        for workload in workloads:
            due = self._due(workload)
            self._times[workload.id] = _NEVER if due is None else due

    def next_due(self) -> float | None:
        """Return when something will happen by itself, in epoch seconds; None if nothing will."""
        self._follow()
        # They stay changed: planning them is not looking at them.
        self.plan(self._workloads[one] for one in self._changed if one in self._workloads)
        earliest = min(self._times.values(), default=_NEVER)
        return None if math.isinf(earliest) else earliest

    def _follow(self) -> None:
        """Take in workloads that others have added, and drop those that are gone."""
        if not is_in_step(self._times, self._workloads):
            known = self._times
            self._times = {one: known.get(one, ALWAYS) for one in self._workloads}
            self._changed.update(self._workloads.keys() - known.keys())


def is_in_step(known: dict[str, Any], workloads: dict[str, Any]) -> bool:
    """Whether nothing was added or dropped; new ones come last, and the old ones go all at once."""
    same_newest = next(reversed(workloads), None) == next(reversed(known), None)
    return same_newest and len(known) == len(workloads)

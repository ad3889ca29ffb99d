"""
What a workload says about the task that waits for it: variables beside its fingerprint, and no part of it.

Whoever ends what nobody waits for reads them, because the task that could be asked may be gone. A
workload that carries none is nobody's to end: an older version made it, or a run that only submits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.workload import AWAITED_VARIABLE, MAP_INDEX_VARIABLE, ON_KILL_VARIABLE

ON_KILL_ACTIONS = ("stop", "suspend", "keep")


@dataclass(frozen=True)
class Mark:
    """
    How a workload may end when its task has.

    :param map_index: of the task instance; -1 for a task that is not mapped.
    :param on_kill: ``stop``, ``suspend`` or ``keep``.
    :param awaited: whether the task waits for the workload after it has submitted it.
    """

    map_index: int
    on_kill: str
    awaited: bool = True

    def to_environment(self) -> dict[str, str]:
        """Return the variables that carry it."""
        return {
            MAP_INDEX_VARIABLE: str(self.map_index),
            ON_KILL_VARIABLE: self.on_kill,
            AWAITED_VARIABLE: "true" if self.awaited else "false",
        }

    @classmethod
    def from_environment(cls, variables: Mapping[str, Any]) -> Mark | None:
        """Read the variables; ``None`` where one is missing or holds what we never write."""
        index, action, awaited = (
            variables.get(n) for n in (MAP_INDEX_VARIABLE, ON_KILL_VARIABLE, AWAITED_VARIABLE)
        )
        if (
            action not in ON_KILL_ACTIONS
            or awaited not in ("true", "false")
            or not _is_index(index)
        ):
            return None
        return cls(int(str(index)), str(action), awaited == "true")


def _is_index(value: object) -> bool:
    return isinstance(value, str) and (
        value == "-1" or (value.isascii() and value.isdecimal() and len(value) < 10)
    )

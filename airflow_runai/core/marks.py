"""
Marks: variables in which a workload says how it may end when its task has.

The reaper reads them, because the task that could be asked may be gone. A workload without marks is
never ended: an older version made it. They are not part of its fingerprint.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeGuard

from airflow_runai.core.json_merge import JsonMapping
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
            # Variables are texts; an absent one stands for an older version.
            AWAITED_VARIABLE: "true" if self.awaited else "false",
        }

    @classmethod
    def from_environment(cls, variables: JsonMapping) -> Mark | None:
        """Read the variables; ``None`` if one is missing or holds a value that we never write."""
        index = variables.get(MAP_INDEX_VARIABLE)
        action = variables.get(ON_KILL_VARIABLE)
        awaited = variables.get(AWAITED_VARIABLE)
        # Strictly: what we never write must not end a workload.
        if action not in ON_KILL_ACTIONS or awaited not in ("true", "false"):
            return None
        return cls(int(index), str(action), awaited == "true") if _is_index(index) else None


def _is_index(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and re.fullmatch(r"-1|[0-9]{1,9}", value) is not None

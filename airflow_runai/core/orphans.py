"""
Orphans: workloads that no task awaits, found from the control plane's list and Airflow's states.

An orphan is unfinished and its author did not want it kept, but its task is over in Airflow or
unknown there, or waits for a newer generation. A workload without marks (``marks.py``) is never an
orphan; nor is a suspended one, which holds no GPU and was suspended by a person.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_runai.core.marks import Mark
from airflow_runai.core.origin import Origin
from airflow_runai.core.phases import OVER, Meaning
from airflow_runai.core.task_states import OVER_IN_AIRFLOW
from airflow_runai.core.workload import Workload

_LEFT_ALONE = OVER | {Meaning.SUSPENDED}


@dataclass(frozen=True)
class Owned:
    """
    A workload that this Airflow made.

    :param mark: ``None`` if it carries none that can be read.
    :param project: the project's name, or its id if the server does not say.
    """

    workload: Workload
    origin: Origin
    mark: Mark | None = None
    project: str = ""


@dataclass(frozen=True)
class Orphan:
    """
    A workload that no task awaits.

    :param state: of its task, in Airflow's words.
    """

    owned: Owned
    state: str

    @property
    def superseded(self) -> bool:
        """Whether its task may well go on, but waits for a newer generation."""
        return self.state not in OVER_IN_AIRFLOW


def may_end(one: Owned) -> bool:
    """Tell whether the workload goes on, and others than its task may end it."""
    # A list may still hold a workload that was deleted, with its last phase.
    goes_on = not one.workload.deleted and one.workload.meaning not in _LEFT_ALONE
    return goes_on and one.mark is not None and one.mark.awaited and one.mark.on_kill != "keep"


def orphans(
    owned: Sequence[Owned], states: Mapping[Origin, str], made_before: float = math.inf
) -> list[Orphan]:
    """
    Return those that no task awaits.

    :param owned: all workloads that this Airflow has on Run:ai, the unfinished at least.
    :param states: of their tasks, in Airflow's words; a task that is missing here protects its
        workload.
    :param made_before: epoch seconds of the server's clock; younger workloads, and those of unknown
        age, are left out.
    """
    candidates = [one for one in owned if one.origin.dag_id is not None]
    newest = _newest(candidates)
    result = []
    for one in candidates:
        is_old = (one.workload.created_at or math.inf) <= made_before
        if may_end(one) and is_old and one.origin in states:
            orphan = Orphan(one, states[one.origin])
            # A task that goes on awaits its newest workload, and only that.
            if not orphan.superseded or _precedes(one, newest[one.origin]):
                result.append(orphan)
    return result


def _newest(owned: Sequence[Owned]) -> dict[Origin, Owned]:
    newest: dict[Origin, Owned] = {}
    for one in owned:
        if _precedes(newest.setdefault(one.origin, one), one):
            newest[one.origin] = one
    return newest


def _precedes(one: Owned, other: Owned) -> bool:
    """Tell whether the task submitted ``other`` after ``one``; slugs do not matter."""
    mine, theirs = _generation(one), _generation(other)
    # 0 stands for a time that the server does not tell.
    return mine < theirs or (
        mine == theirs and 0 < one.workload.created_at < other.workload.created_at
    )


def _generation(one: Owned) -> int:
    match = re.search(r"-g(\d{1,4})$", one.workload.name)
    return int(match[1]) if match else 0

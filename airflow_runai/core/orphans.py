"""
Which workloads nobody waits for, decided from what the control plane lists and how the tasks stand in Airflow.

An orphan is unfinished and its author did not want it kept, but its task is over in Airflow or
unknown there, or waits for a newer generation. Never one: what carries no mark (``marks.py``), and
what is suspended: it holds no GPU, and somebody suspended it.
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

    :param mark: ``None`` where it carries none that can be read.
    :param project: the project's name, or its id where the server does not tell.
    """

    workload: Workload
    origin: Origin
    mark: Mark | None = None
    project: str = ""


@dataclass(frozen=True)
class Orphan:
    """
    A workload that nobody waits for.

    :param state: of its task, in Airflow's words.
    """

    owned: Owned
    state: str

    @property
    def superseded(self) -> bool:
        """Whether its task may well go on, but waits for a newer generation."""
        return self.state not in OVER_IN_AIRFLOW


def may_end(one: Owned) -> bool:
    """Tell whether the workload goes on and may be ended by others than its task, should nobody wait for it."""
    goes_on = not one.workload.deleted and one.workload.meaning not in _LEFT_ALONE
    return goes_on and one.mark is not None and one.mark.awaited and one.mark.on_kill != "keep"


def orphans(
    owned: Sequence[Owned], states: Mapping[Origin, str], made_before: float = math.inf
) -> list[Orphan]:
    """
    Return those that nobody waits for.

    :param owned: all that this Airflow has on Run:ai, unfinished at least.
    :param states: of their tasks, in Airflow's words; a task that is not in it protects its
        workload.
    :param made_before: epoch seconds of the server's clock; what is younger, or of unknown age, is
        left out.
    """
    rows = [one for one in owned if one.origin.dag_id is not None]
    newest: dict[Origin, Owned] = {}
    for one in rows:
        if (known := newest.get(one.origin)) is None or _precedes(known, one):
            newest[one.origin] = one
    old = (
        one for one in rows if may_end(one) and (one.workload.created_at or math.inf) <= made_before
    )
    found = (Orphan(one, states[one.origin]) for one in old if one.origin in states)
    return [
        orphan
        for orphan in found
        if not orphan.superseded or _precedes(orphan.owned, newest[orphan.owned.origin])
    ]


def _precedes(one: Owned, other: Owned) -> bool:
    """Tell whether ``other`` is what the task turned to after ``one``; slugs do not matter."""
    mine, theirs = _generation(one), _generation(other)
    return mine < theirs or (
        mine == theirs and 0 < one.workload.created_at < other.workload.created_at
    )


def _generation(one: Owned) -> int:
    found = re.search(r"-g(\d{1,4})$", one.workload.name)
    return int(found[1]) if found else 0

"""
Ending orphans: found, found again a minute later, and checked once more before the call.

Nothing here hurries: a task that is being cleared, a list that lags and a worker that is about to
adopt must all have time to show. What could not be ended is reported, and left to the next round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from airflow_runai.backends.termination import present
from airflow_runai.core.backend import Workloads
from airflow_runai.core.flow import Flow, Sleep, now
from airflow_runai.core.origin import Origin
from airflow_runai.core.orphans import Orphan, Owned, may_end, orphans
from airflow_runai.core.task_states import OVER_IN_AIRFLOW
from airflow_runai.errors import RunaiError

#: Seconds between the two looks.
SECOND_LOOK = 60.0

Survey: TypeAlias = Callable[[], Flow[list[Owned]]]
#: Asks Airflow for the states of tasks.
LookUpStates: TypeAlias = Callable[[Iterable[Origin]], Mapping[Origin, str]]


@dataclass(frozen=True)
class Fate:
    """
    The result for one orphan.

    :param ended: ``False`` if something went wrong; the next round tries again.
    """

    orphan: Orphan
    ended: bool
    words: str


def find_orphans(survey: Survey, states_of: LookUpStates, older_than: float) -> Flow[list[Orphan]]:
    """Look once at the control plane and at Airflow."""
    owned = yield from survey()
    states = states_of(one.origin for one in owned)
    return orphans(owned, states, (yield from now()) - older_than)


def reap(
    backend: Workloads, survey: Survey, states_of: LookUpStates, older_than: float
) -> Flow[list[Fate]]:
    """End what is an orphan now and still is :data:`SECOND_LOOK` seconds later."""
    first = {
        orphan.owned.workload.id
        for orphan in (yield from find_orphans(survey, states_of, older_than))
    }
    if not first:
        return []
    yield Sleep(SECOND_LOOK)
    fates = []
    for orphan in (yield from find_orphans(survey, states_of, older_than)):
        if orphan.owned.workload.id in first:
            fates.append((yield from end_orphan(backend, orphan, states_of)))
    return fates


def end_orphan(backend: Workloads, orphan: Orphan, states_of: LookUpStates) -> Flow[Fate]:
    """Check one orphan for the last time, and end it as its author chose."""
    try:
        return (yield from _end(backend, orphan, states_of))
    except RunaiError as error:
        return Fate(orphan, False, str(error))


def _end(backend: Workloads, orphan: Orphan, states_of: LookUpStates) -> Flow[Fate]:
    owned = orphan.owned
    workload = yield from present(backend, owned.workload)
    if workload is None:
        return Fate(orphan, False, "it is listed and cannot be found")
    if not may_end(replace(owned, workload=workload)):
        return Fate(orphan, True, f"already {'Deleted' if workload.deleted else workload.phase}")
    if not orphan.superseded and states_of([owned.origin]).get(owned.origin) not in OVER_IN_AIRFLOW:
        return Fate(orphan, True, "left alone: its task was cleared")
    # Sent once: until a second attempt, the task may have been cleared.
    if owned.mark is not None and owned.mark.on_kill == "suspend":
        yield from backend.suspend(workload)
        return Fate(orphan, True, "suspended")
    yield from backend.delete(workload)
    return Fate(orphan, True, "deleted")

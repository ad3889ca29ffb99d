"""
The work of an errand: ask Airflow whether the tasks have really ended, and end their workloads.

The connection is the one that the task itself rendered. Who owns a workload, and whether it may be
ended, is decided as for the reaper.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from airflow_runai.backends.reaper import Fate, LookUpStates, end_orphan
from airflow_runai.core.naming import TaskIdentity
from airflow_runai.core.origin import Origin
from airflow_runai.core.orphans import orphans
from airflow_runai.core.task_states import FINISHED_TASK_STATES
from airflow_runai.deployment.instance_name import name_in_database
from airflow_runai.deployment.metrics import count
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.listeners.errands import Errand

log = logging.getLogger(__name__)

#: Returns the connection of each task instance that is ours and has begun.
Connections: TypeAlias = Callable[[Collection[Errand]], Mapping[Origin, str]]


def attend(
    errands: Collection[Errand], connections_of: Connections, states_of: LookUpStates
) -> Collection[Errand]:
    """
    Look once, and end the workloads of finished tasks.

    :return: the errands that are done: no task of theirs is ours and has a workload any more.
    """
    connections = connections_of(errands)
    states = states_of(connections)
    ended: set[Origin] = set()
    for connection, origins in _by_connection(connections, states).items():
        ended |= _end(connection, {origin: states[origin] for origin in origins}, states_of)
    # An errand is for one task, or for all tasks of a run.
    open_tasks = set(connections) - ended
    return {
        errand for errand in errands if not any(_is_of(origin, errand) for origin in open_tasks)
    }


def _by_connection(
    connections: Mapping[Origin, str], states: Mapping[Origin, str]
) -> Mapping[str, list[Origin]]:
    finished: dict[str, list[Origin]] = defaultdict(list)
    for origin, connection in connections.items():
        if states.get(origin) in FINISHED_TASK_STATES:
            finished[connection].append(origin)
    return finished


def _end(connection: str, states: Mapping[Origin, str], states_of: LookUpStates) -> set[Origin]:
    """End the workloads of finished tasks; return those that have none any more."""
    try:
        fates = _end_orphans(RunaiHook(connection), states, states_of)
    except RunaiError as error:
        log.warning(
            "connection %s: workloads of ended tasks could not be ended (%s)", connection, error
        )
        return set()
    for fate in fates:
        count("runai.kills", by="listener")
        name = fate.orphan.owned.workload.name
        log.info("%s (its task is %s): %s", name, fate.orphan.state, fate.words)
    return set(states) - {fate.orphan.owned.origin for fate in fates if not fate.ended}


def _end_orphans(
    hook: RunaiHook, states: Mapping[Origin, str], states_of: LookUpStates
) -> list[Fate]:
    instance = name_in_database()
    owned = hook.run(hook.backend.inventory(instance, digest=_digest(instance, states)))
    # Other runs may have orphans as well; those are the reaper's.
    found = orphans([one for one in owned if one.origin in states], states)
    return [hook.run(end_orphan(hook.backend, orphan, states_of)) for orphan in found]


def _digest(instance: str, states: Mapping[Origin, str]) -> str:
    """Return the digest of a single task; empty for several, which one list serves."""
    if len(states) > 1:
        return ""
    (task,) = states
    index = -1 if task.map_index is None else task.map_index
    names = str(task.dag_id), str(task.run_id), str(task.task_id)
    return TaskIdentity(instance, *names, index).digest()


def _is_of(origin: Origin, errand: Errand) -> bool:
    if (origin.dag_id, origin.run_id) != (errand.dag_id, errand.run_id):
        return False
    if errand.task_id is None:
        return True
    return (origin.task_id, origin.map_index) == (errand.task_id, errand.map_index)

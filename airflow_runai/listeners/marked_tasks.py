"""
What an errand does: asks Airflow whether the tasks have really ended, and ends their workloads.

The connection is the one that the task itself rendered. Whose a workload is, and whether it may be
ended, is decided as for the reaper.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from airflow_runai.backends.inventory import inventory
from airflow_runai.backends.reaper import LookUpStates, end_orphan
from airflow_runai.core.naming import TaskIdentity
from airflow_runai.core.origin import Origin
from airflow_runai.core.orphans import orphans
from airflow_runai.core.task_states import FINISHED_TASK_STATES
from airflow_runai.deployment.instance_name import name_in_database
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.listeners.errands import Errand

log = logging.getLogger(__name__)


#: Tells the connection of each task instance that is ours and has begun.
Connections: TypeAlias = Callable[[Collection[Errand]], Mapping[Origin, str]]


def attend(
    errands: Collection[Errand], connections_of: Connections, states_of: LookUpStates
) -> Collection[Errand]:
    """Look once; return the errands whose tasks have all ended, with their workloads, or are none of ours."""
    connections = connections_of(errands)
    states = states_of(connections)
    ended: set[Origin] = set()
    for connection, origins in _by_connection(connections, states).items():
        ended |= _end(connection, {origin: states[origin] for origin in origins}, states_of)
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
        hook, instance = RunaiHook(connection), name_in_database()
        owned = hook.run(inventory(instance, digest=_digest(instance, states)))
        failed: set[Origin] = set()
        for orphan in orphans([one for one in owned if one.origin in states], states):
            fate = hook.run(end_orphan(orphan, states_of))
            log.info(
                "%s (its task is %s): %s", orphan.owned.workload.name, orphan.state, fate.words
            )
            if not fate.ended:
                failed.add(orphan.owned.origin)
    except RunaiError as error:
        log.warning(
            "connection %s: workloads of ended tasks could not be ended (%s)", connection, error
        )
        return set()
    return set(states) - failed


def _digest(instance: str, states: Mapping[Origin, str]) -> str:
    """Return what the name of the only task's workloads holds; of several, all that there is is listed once."""
    if len(states) > 1:
        return ""
    ((dag_id, task_id, run_id, map_index),) = [
        (o.dag_id, o.task_id, o.run_id, o.map_index) for o in states
    ]
    return TaskIdentity(
        instance, str(dag_id), str(run_id), str(task_id), -1 if map_index is None else map_index
    ).digest()


def _is_of(origin: Origin, errand: Errand) -> bool:
    if (origin.dag_id, origin.run_id) != (errand.dag_id, errand.run_id):
        return False
    return errand.task_id is None or (origin.task_id, origin.map_index) == (
        errand.task_id,
        errand.map_index,
    )

"""
The states of task instances: the one place that asks Airflow for them and reads its answer.

There are two sources: Airflow's database, as ``airflow tasks state`` reads it, where a command or
the API server runs; and the supervisor of a task or trigger, because workers have no database.
Everything here only reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from typing import Any, Protocol, TypeAlias

from airflow_runai.core.origin import Origin
from airflow_runai.core.task_states import MISSING
from airflow_runai.deployment.database import airflow_session

#: Task instances in one query; databases bound the length of a statement.
_BATCH = 500
#: Runs and tasks in one request; the length of its address is bound, too.
_REQUEST_BATCH = 20

#: Airflow's answer: run id to task id to state; an instance of a mapped task is ``TASK_INDEX``.
Answer: TypeAlias = Mapping[str, Mapping[str, Any]]
GetTaskStates: TypeAlias = Callable[..., Answer]


class _TaskInstance(Protocol):
    @property
    def dag_id(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def map_index(self) -> int | None: ...


def task_state(task: _TaskInstance, get_task_states: GetTaskStates) -> str | None:
    """
    Return the state of one task instance; ``None`` if it was just cleared, or does not exist.

    :param get_task_states: that of the running task instance; it blocks.
    """
    return _only_state(get_task_states(**_question(task)))


async def task_state_in_trigger(task: _TaskInstance) -> str | None:
    """Return the same as :func:`task_state` on the triggerer's event loop."""
    # Imported here: the worker's machinery is not needed to parse a DAG.
    from airflow.sdk.execution_time import comms, task_runner

    answer = await task_runner.SUPERVISOR_COMMS.asend(comms.GetTaskStates(**_question(task)))
    states = getattr(answer, "task_states", None)
    if states is None:
        raise RuntimeError(f"Airflow answered {type(answer).__name__} instead of a task's state")
    return _only_state(states)


def _question(task: _TaskInstance) -> dict[str, Any]:
    return {
        "dag_id": task.dag_id,
        "task_ids": [task.task_id],
        "run_ids": [task.run_id],
        "map_index": task.map_index,
    }


def _only_state(answer: Answer) -> str | None:
    states = (state for by_task in answer.values() for state in by_task.values())
    return next((str(state) for state in states if state), None)


def states_in_database(origins: Iterable[Origin]) -> Mapping[Origin, str]:
    """
    Return the state of each task instance; ``none`` is that of a task that was just cleared.

    An origin that names no task is left out.

    :raises Unreachable: if there is no database to ask.
    """
    tasks = sorted({origin for origin in origins if origin.dag_id is not None}, key=str)
    states = dict.fromkeys(tasks, MISSING)
    for start in range(0, len(tasks), _BATCH):
        for origin, state in _rows(tasks[start : start + _BATCH]):
            states[origin] = _state_name(state)
    return states


def _state_name(state: object) -> str:
    return "none" if state is None else str(state)


def _rows(origins: list[Origin]) -> list[tuple[Origin, str | None]]:
    from airflow.models.taskinstance import TaskInstance as Instance
    from sqlalchemy import select, tuple_

    key = (Instance.dag_id, Instance.task_id, Instance.run_id, Instance.map_index)
    query = select(*key, Instance.state).where(tuple_(*key).in_(map(astuple, origins)))
    with airflow_session() as session:
        return [(Origin(*row[:4]), row[4]) for row in session.execute(query)]


def states_for_worker(ti: Any, origins: Iterable[Origin]) -> Mapping[Origin, str]:
    """
    Return the same as :func:`states_in_database`, but ask through a running task.

    :param ti: the running task instance.
    """
    groups: dict[tuple[str, int], list[Origin]] = defaultdict(list)
    for origin in set(origins):
        if origin.dag_id is not None:
            groups[origin.dag_id, _index(origin)].append(origin)
    states: dict[Origin, str] = {}
    for (dag_id, map_index), group in groups.items():
        for start in range(0, len(group), _REQUEST_BATCH):
            states |= _ask(ti, dag_id, map_index, group[start : start + _REQUEST_BATCH])
    return states


def _ask(ti: Any, dag_id: str, map_index: int, origins: list[Origin]) -> dict[Origin, str]:
    """Ask for one map index: Airflow's answer names instance 1 of ``a`` like a task ``a_1``."""
    answer: Answer = ti.get_task_states(
        dag_id=dag_id,
        task_ids=sorted({str(origin.task_id) for origin in origins}),
        run_ids=sorted({str(origin.run_id) for origin in origins}),
        map_index=map_index,
    )
    suffix = "" if map_index < 0 else f"_{map_index}"
    states = {}
    for origin in origins:
        by_task = answer.get(str(origin.run_id), {})
        states[origin] = _state_name(by_task.get(f"{origin.task_id}{suffix}", MISSING))
    return states


def _index(origin: Origin) -> int:
    return -1 if origin.map_index is None else origin.map_index

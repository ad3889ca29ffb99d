"""
How the tasks stand that workloads were made for.

Two ways to ask: Airflow's database, as ``airflow tasks state`` asks it, where a command or the API
server runs; and the supervisor of a task, because workers have no database. Both only read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_runai.core.origin import Origin
from airflow_runai.core.task_states import MISSING
from airflow_runai.deployment.database import airflow_session

#: So many are asked for at once; databases bound the length of a statement.
_AT_ONCE = 500
#: So many are asked for in one address, whose length is bound, too.
_IN_ONE_ADDRESS = 20


def states_in_database(origins: Iterable[Origin]) -> Mapping[Origin, str]:
    """
    Return the state of each task instance, in Airflow's words; ``none`` is that of a task that was just cleared.

    An origin that names no task is left out.

    :raises Unreachable: if there is no database to ask.
    """
    known = sorted({o for o in origins if o.dag_id is not None}, key=str)
    if not known:
        return {}
    found = [
        row for at in range(0, len(known), _AT_ONCE) for row in _rows(known[at : at + _AT_ONCE])
    ]
    return {
        **dict.fromkeys(known, MISSING),
        **{Origin(*row[:4]): str(row[4] or "none") for row in found},
    }


def _rows(origins: list[Origin]) -> list[tuple[str, str, str, int, str | None]]:
    from airflow.models.taskinstance import TaskInstance as Instance
    from sqlalchemy import select, tuple_

    key = (Instance.dag_id, Instance.task_id, Instance.run_id, Instance.map_index)
    wanted = [(o.dag_id, o.task_id, o.run_id, o.map_index) for o in origins]
    with airflow_session() as session:
        rows = session.execute(select(*key, Instance.state).where(tuple_(*key).in_(wanted)))
        return [(dag, task, run, index, state) for dag, task, run, index, state in rows]


def states_for_worker(ti: Any, origins: Iterable[Origin]) -> Mapping[Origin, str]:
    """
    Return the same as :func:`states_in_database`, asked through a running task.

    :param ti: the task instance that asks, any.
    """
    alike: dict[tuple[str, int], list[Origin]] = defaultdict(list)
    for found in {o for o in origins if o.dag_id is not None}:
        alike[str(found.dag_id), _index(found)].append(found)
    answers: dict[Origin, str] = {}
    for (dag_id, map_index), asked in alike.items():
        for at in range(0, len(asked), _IN_ONE_ADDRESS):
            answers |= _asked(ti, dag_id, map_index, asked[at : at + _IN_ONE_ADDRESS])
    return answers


def _asked(ti: Any, dag_id: str, map_index: int, origins: list[Origin]) -> dict[Origin, str]:
    """
    Ask for one map index at a time: Airflow's answer calls instance 1 of ``a`` like a task ``a_1``.
    """
    task_ids, run_ids = (
        sorted({str(o.task_id) for o in origins}),
        sorted({str(o.run_id) for o in origins}),
    )
    found = ti.get_task_states(
        dag_id=dag_id, task_ids=task_ids, run_ids=run_ids, map_index=map_index
    )
    suffix = "" if map_index < 0 else f"_{map_index}"
    known = {o: found.get(o.run_id, {}).get(f"{o.task_id}{suffix}", MISSING) for o in origins}
    return {o: "none" if state is None else str(state) for o, state in known.items()}


def _index(found: Origin) -> int:
    return -1 if found.map_index is None else found.map_index

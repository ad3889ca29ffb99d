"""
What Airflow's database says of the tasks that workloads were made for.

Asked as ``airflow tasks state`` asks it: a command runs beside the scheduler, where the database can be reached. It is
only read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_runai.core.origin import Origin
from airflow_runai.core.task_states import MISSING
from airflow_runai.core.texts import cut
from airflow_runai.errors import Unreachable

#: So many are asked for at once; databases bound the length of a statement.
_AT_ONCE = 500


def states_of(origins: Iterable[Origin]) -> Mapping[Origin, str]:
    """
    Return the state of each task instance, in Airflow's words; ``none`` is that of a task that was just cleared.

    An origin that names no task is left out.

    :raises Unreachable: if there is no database to ask.
    """
    known = sorted({o for o in origins if o.dag_id is not None}, key=str)
    if not known:
        return {}
    # Imported here: Airflow's models take long, and are not needed where nothing is listed.
    from sqlalchemy.exc import SQLAlchemyError

    try:
        found = [row for at in range(0, len(known), _AT_ONCE) for row in _rows(known[at : at + _AT_ONCE])]
    except (SQLAlchemyError, RuntimeError) as error:  # the latter where Airflow is told to have no database
        words = cut(str(getattr(error, "orig", None) or error).splitlines()[0])
        raise Unreachable(
            f"Airflow's database: {type(error).__name__}: {words}; run this where [database] sql_alchemy_conn is that "
            "of the scheduler"
        ) from None
    return {**dict.fromkeys(known, MISSING), **{Origin(*row[:4]): str(row[4] or "none") for row in found}}


def _rows(origins: list[Origin]) -> list[tuple[str, str, str, int, str | None]]:
    from airflow.models.taskinstance import TaskInstance as Instance
    from airflow.utils.session import create_session
    from sqlalchemy import select, tuple_

    key = (Instance.dag_id, Instance.task_id, Instance.run_id, Instance.map_index)
    wanted = [(o.dag_id, o.task_id, o.run_id, o.map_index) for o in origins]
    with create_session() as session:
        rows = session.execute(select(*key, Instance.state).where(tuple_(*key).in_(wanted)))
        return [(dag, task, run, index, state) for dag, task, run, index, state in rows]

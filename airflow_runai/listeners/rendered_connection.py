"""
The connection of a task: the one that it rendered when it began, from Airflow's database.

Airflow keeps it for the newest 30 runs of a task; older ones are left to the reaper.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from airflow.models.renderedtifields import RenderedTaskInstanceFields as Fields
from sqlalchemy import ColumnElement, and_, or_, select

from airflow_runai.core.origin import Origin
from airflow_runai.deployment.database import airflow_session
from airflow_runai.listeners.errands import Errand


def connections_in_database(errands: Collection[Errand]) -> Mapping[Origin, str]:
    """Return the connection of each task instance that is ours and has begun: it rendered one."""
    key = (Fields.dag_id, Fields.task_id, Fields.run_id, Fields.map_index)
    # Only operators of this provider have a field of this name.
    connection = Fields.rendered_fields["runai_conn_id"].as_string()
    wanted = or_(*(_same(errand) for errand in errands))
    with airflow_session() as session:
        rows = session.execute(select(*key, connection).select_from(Fields).where(wanted)).all()
    return {Origin(dag, task, run, index): name for dag, task, run, index, name in rows if name}


def _same(errand: Errand) -> ColumnElement[bool]:
    run = and_(Fields.dag_id == errand.dag_id, Fields.run_id == errand.run_id)
    if errand.task_id is None:
        return run
    return and_(run, Fields.task_id == errand.task_id, Fields.map_index == errand.map_index)

"""What a try knows of itself from Airflow: whose it is, which one, and whether of a new run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_runai.core.naming import TaskIdentity
from airflow_runai.core.note import Note
from airflow_runai.core.submission import Tries
from airflow_runai.deployment.instance_name import name_for_worker

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Seconds from a run's due moment to its beginning in which nobody deletes it and makes it again.
PUNCTUAL = 20.0


def identity(context: Context, note: Note | None = None) -> TaskIdentity:
    """Return the identity that all tries of this task instance share, even if settings change."""
    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    instance = (note.instance if note else None) or name_for_worker()
    return TaskIdentity(instance, ti.dag_id, ti.run_id, ti.task_id, map_index)


def origin_variables(context: Context) -> Mapping[str, str]:
    """Return the variables that name the workload's origin, as Airflow itself names them."""
    ti = context["ti"]
    return {
        "AIRFLOW_CTX_DAG_ID": str(ti.dag_id),
        "AIRFLOW_CTX_TASK_ID": str(ti.task_id),
        "AIRFLOW_CTX_DAG_RUN_ID": str(ti.run_id),
    }


def tries_of(context: Context) -> Tries:
    """Return the present try and the first since the last clear, which raised ``max_tries``."""
    ti = context["ti"]
    retries = int(getattr(context["task"], "retries", 0) or 0)
    max_tries = int(getattr(ti, "max_tries", 0) or 0)
    return Tries(ti.try_number, max(1, min(max_tries - retries + 1, ti.try_number)), max_tries)


def may_be_made_again(context: Context) -> bool:
    """
    Tell whether the run may have had an earlier life: it was deleted and made again.

    Airflow builds a run's id of the moment at which the run is due. A run that began right after it
    leaves no time for another life of that id. One that was late, or was named by a person, does.
    """
    run = context.get("dag_run")
    due, began = getattr(run, "run_after", None), getattr(run, "start_date", None)
    if due is None or began is None or due.isoformat() not in str(getattr(run, "run_id", "")):
        return True
    return bool((began - due).total_seconds() > PUNCTUAL)

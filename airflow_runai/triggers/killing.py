"""Ending a workload because a user ended its task: only after Airflow has said so."""

from __future__ import annotations

import logging
from typing import Any

from airflow_runai.backends import control_plane
from airflow_runai.backends.submission import patiently
from airflow_runai.core.flow import Flow
from airflow_runai.core.phases import OVER
from airflow_runai.errors import NotFound
from airflow_runai.hooks.sessions import session

log = logging.getLogger(__name__)

#: Task states that only a user (or the end of the run) can have set while the trigger was waiting.
FINISHED = frozenset({"failed", "success", "skipped", "removed", "upstream_failed"})
ACTIONS = ("stop", "suspend", "keep")


def end_workload(workload_id: str, action: str) -> Flow[str]:
    """
    Stop (delete) or suspend a workload that is still going; leave a finished one alone.

    :param action: one of :data:`ACTIONS`.
    :return: a sentence for the log.
    """
    if action == "keep":
        return f"workload {workload_id} is left alone (on_kill='keep')"
    try:
        found = yield from patiently(lambda: control_plane.get(workload_id))
    except NotFound:
        return f"workload {workload_id} is already gone"
    if found.meaning in OVER:
        return f"workload {found.name} is already {found.phase}"
    call = control_plane.delete if action == "stop" else control_plane.suspend
    yield from patiently(lambda: call(found))
    return f"workload {found.name} was {'stopped and deleted' if action == 'stop' else 'suspended'}"


async def end_if_task_is_finished(ti: Any, runai_conn_id: str, workload_id: str, action: str) -> None:
    """Ask Airflow for the task's state; act only if it is finished."""
    try:
        state = await _task_state(ti)
        if state not in FINISHED:
            log.info("the task is %s: its workload %s goes on", state, workload_id)
            return
        async with session(runai_conn_id) as joined:
            log.info("the task is %s: %s", state, await joined.run(end_workload(workload_id, action)))
    except Exception as error:
        # Nobody awaits this any more, and nobody will try again: the log is the only place to say so.
        log.error("workload %s could not be ended (%s); if its task is finished, end it by hand", workload_id, error)


async def _task_state(ti: Any) -> str | None:
    # Imported here: the worker's machinery is not needed to parse a DAG.
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    question = GetTaskStates(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index)
    answer = await task_runner.SUPERVISOR_COMMS.asend(question)
    states = getattr(answer, "task_states", {}).get(ti.run_id, {})
    # The key is the task id, or "<task_id>_<map_index>" for a mapped task.
    return next((str(state) for state in states.values()), None)

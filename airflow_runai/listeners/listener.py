"""
Hooks that Airflow calls when a task or a run has ended, and when one of its parts starts.

Workers and the scheduler call the same hooks for ends that do not matter here: their tasks end
their own workloads. The API server, where people mark tasks, is recognized by Airflow's web
application, which no other process imports. The hooks run inside a request that has not committed
yet: they only take a note.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from pluggy import HookimplMarker

from airflow_runai.listeners.errands import Errand, Errands

log = logging.getLogger(__name__)
hookimpl = HookimplMarker("airflow")

_WEB_APPLICATION = "airflow.api_fastapi.main"
#: Module of the parts that have a database: scheduler, triggerer, DAG processor. Tasks start, too,
#: and have none.
_PARTS = "airflow.jobs.job"


class Listener:
    """
    Registered by the plugin.

    :param errands: takes the notes.
    :param settle_name: gives this Airflow its name on Run:ai, if it has none yet.
    """

    def __init__(self, errands: Errands, settle_name: Callable[[], object]) -> None:
        self._errands = errands
        self._settle_name = settle_name

    @hookimpl
    def on_starting(self, component: Any) -> None:
        """Settle the name before a task could need it: one database takes one name."""
        if type(component).__module__ == _PARTS:
            try:
                self._settle_name()
            except Exception as error:
                # No task needs it yet; one that does will say what is wrong.
                log.warning("this Airflow has no name on Run:ai yet (%s)", error)

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any) -> None:
        """Hear of a task that was marked failed."""
        self._task(task_instance)

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        """Hear of a task that was marked success."""
        self._task(task_instance)

    @hookimpl
    def on_task_instance_skipped(self, task_instance: Any) -> None:
        """Hear of a task that was marked skipped."""
        self._task(task_instance)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any) -> None:
        """Hear of a run that was marked failed; its waiting tasks are skipped without a call."""
        self._run(dag_run)

    @hookimpl
    def on_dag_run_success(self, dag_run: Any) -> None:
        """Hear of a run that was marked success."""
        self._run(dag_run)

    def _task(self, ti: Any) -> None:
        if _WEB_APPLICATION in sys.modules:
            map_index = -1 if ti.map_index is None else ti.map_index
            self._errands.hand_over(Errand(ti.dag_id, ti.run_id, ti.task_id, map_index))

    def _run(self, dag_run: Any) -> None:
        if _WEB_APPLICATION in sys.modules:
            self._errands.hand_over(Errand(dag_run.dag_id, dag_run.run_id))

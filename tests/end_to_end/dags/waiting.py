"""Trainings that run until somebody writes the file ``finish``, with every policy that tests look at; a reaper."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.definitions.callback import SyncCallback

from airflow_runai.operators.orphans import RunaiReapOrphansOperator
from airflow_runai.operators.training import RunaiTrainingOperator

SPEC: dict[str, Any] = {
    "image": "python:3.12",
    "command": "./wait.sh",
    "working_dir": "/shared",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "compute": {"gpu_devices": 1},
}
CONNECTION = "{{ dag_run.conf['connection'] }}"
BEHAVIOURS: dict[str, dict[str, Any]] = {
    "waiting": {},
    "waiting_suspend": {"on_kill": "suspend"},
    "waiting_keep": {"on_kill": "keep"},
    "waiting_reattach": {"on_clear": "reattach"},
    "waiting_in_worker": {"deferrable": False},
    "waiting_for_its_retry": {"deferrable": False, "retry_delay": timedelta(hours=1)},
    "waiting_once": {"deferrable": False, "retries": 0},
    "waiting_told": {
        "on_interruption": SyncCallback(
            "tests.end_to_end.callbacks.write",
            {"connection": CONNECTION, "to": "{{ dag_run.conf['told'] }}"},
        )
    },
    "waiting_renamed": {"workload_name": "{{ var.value.get('workload_name', 'before') }}"},
}

for dag_id, behaviour in BEHAVIOURS.items():
    with DAG(
        dag_id,
        schedule=None,
        is_paused_upon_creation=False,
        default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
    ) as dag:
        RunaiTrainingOperator(task_id="train", runai_conn_id=CONNECTION, spec=SPEC, **behaviour)
    globals()[dag_id] = dag

with DAG("waiting_in_numbers", schedule=None, is_paused_upon_creation=False):

    @task
    def specs(**context: Any) -> list[dict[str, Any]]:
        """One specification for each instance that the run asks for."""
        return [SPEC] * context["dag_run"].conf["instances"]

    RunaiTrainingOperator.partial(task_id="train", runai_conn_id=CONNECTION).expand(spec=specs())

with DAG("reaping", schedule=None, is_paused_upon_creation=False):
    RunaiReapOrphansOperator(task_id="reap", runai_conn_id=CONNECTION, older_than=0)

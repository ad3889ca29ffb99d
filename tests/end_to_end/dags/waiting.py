"""One training that runs until somebody writes the file ``finish``, with every policy that tests look at; a reaper."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_runai.operators.reaping import RunaiReapOrphansOperator
from airflow_runai.operators.training import RunaiTrainingOperator

BEHAVIOURS: dict[str, dict[str, Any]] = {
    "waiting": {},
    "waiting_suspend": {"on_kill": "suspend"},
    "waiting_keep": {"on_kill": "keep"},
    "waiting_reattach": {"on_clear": "reattach"},
    "waiting_in_worker": {"deferrable": False},
    "waiting_for_its_retry": {"retry_delay": timedelta(hours=1)},
    "waiting_once": {"retries": 0},
}

for dag_id, behaviour in BEHAVIOURS.items():
    with DAG(
        dag_id,
        schedule=None,
        is_paused_upon_creation=False,
        default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
    ) as dag:
        RunaiTrainingOperator(
            task_id="train",
            runai_conn_id="{{ dag_run.conf['connection'] }}",
            spec={
                "image": "python:3.12",
                "command": "./wait.sh",
                "working_dir": "/shared",
                "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
                "compute": {"gpu_devices": 1},
            },
            **behaviour,
        )
    globals()[dag_id] = dag

with DAG("reaping", schedule=None, is_paused_upon_creation=False):
    RunaiReapOrphansOperator(task_id="reap", runai_conn_id="{{ dag_run.conf['connection'] }}", older_than=0)

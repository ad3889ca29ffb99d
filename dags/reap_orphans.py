"""Every ten minutes: end what no task of this Airflow waits for any more."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_runai.operators.orphans import RunaiReapOrphansOperator

with DAG(
    "reap_orphans",
    description="What goes on though its run was deleted or its worker died on the last try, this ends.",
    schedule=timedelta(minutes=10),
    catchup=False,
    max_active_runs=1,
    tags=["runai", "example"],
):
    RunaiReapOrphansOperator(task_id="reap", older_than=600)

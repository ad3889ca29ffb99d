"""Every ten minutes, end the workloads that no task of this Airflow waits for any more."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_runai.operators.orphans import RunaiReapOrphansOperator

with DAG(
    "reap_orphans",
    description="Ends workloads whose run was deleted or whose worker died on the last try.",
    schedule=timedelta(minutes=10),
    catchup=False,
    max_active_runs=1,
    tags=["runai", "example"],
    doc_md=__doc__,
):
    RunaiReapOrphansOperator(task_id="reap", older_than=600)

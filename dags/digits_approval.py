"""
Retraining in one call, with a person's approval before the promotion.

`runai_retraining` makes the tasks train → select → evaluate → promote. The task `approve` stands
before the last of them: it waits for an answer under *Required Actions* in Airflow, without a
worker. *Reject* skips the promotion.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

from airflow_runai.task_groups.retraining import runai_retraining

CONTAINER = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "termination_grace_period": 30,
}

with DAG(
    "digits_approval",
    description="Retrain in one call, then ask a person before the promotion.",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    max_active_runs=1,
    default_args={"retries": 2},
    tags=["runai", "example"],
    doc_md=__doc__,
):
    chain = runai_retraining(
        run_root="/shared/runs/{{ dag.dag_id }}/{{ run_id }}",
        path_map={"/shared": "{{ var.value.get('runai_shared', '/shared') }}"},
        spec=CONTAINER,
        train={
            "command": "./startup.sh",
            "args": "number-of-epochs=10 batch-size=64",
            "compute": {"gpu_devices": 1},
        },
        evaluate={"command": "./evaluate.sh", "compute": {"gpu_devices": 1}},
        gates=["accuracy >= 0.9"],
        champion="/shared/approved.json",
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Promote this checkpoint?",
        body="{{ ti.xcom_pull('retraining.evaluate')['metrics'] }}",
        response_timeout=timedelta(days=3),
    )
    chain.evaluate >> approve >> chain.promote

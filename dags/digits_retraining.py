"""
Scheduled retraining: train → newest valid checkpoint → evaluate → promote.

The task `train` is deferred while the workload is queued, preempted and resumed; it holds no
worker slot. The containers mount the storage as `/shared`; the Airflow variable `runai_shared` is
its path on the workers.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.training import RunaiTrainingOperator

RUN = "/shared/runs/{{ dag.dag_id }}/{{ run_id }}"
PATHS = {"/shared": "{{ var.value.get('runai_shared', '/shared') }}"}
CONTAINER = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "termination_grace_period": 30,
}

with DAG(
    "digits_retraining",
    description="Retrain through preemption, then promote what passes its gate.",
    schedule="@weekly",
    start_date=datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2},
    tags=["runai", "example"],
    doc_md=__doc__,
):
    train = RunaiTrainingOperator(
        task_id="train",
        spec={
            **CONTAINER,
            "command": "./startup.sh",
            "args": "number-of-epochs=30 batch-size=64",
            "environment": {
                "CHECKPOINTS": f"{RUN}/checkpoints",
                "SECONDS_PER_EPOCH": "{{ var.value.get('digits_seconds_per_epoch', '0') }}",
            },
            "compute": {"gpu_devices": 2, "cpu_cores": 1},
        },
        timeouts={"queue": 7 * 86400, "total": 30 * 86400},
        get_logs="follow",
        path_map=PATHS,
    )
    checkpoint = RunaiSelectCheckpointOperator(
        task_id="checkpoint", root=f"{RUN}/checkpoints", path_map=PATHS
    )
    evaluate = RunaiEvaluationOperator(
        task_id="evaluate",
        spec={**CONTAINER, "command": "./evaluate.sh", "compute": {"gpu_devices": 1}},
        checkpoint=checkpoint.output,
        metrics=f"{RUN}/metrics.json",
        path_map=PATHS,
        gates=["accuracy >= 0.95"],
    )
    promote = RunaiPromoteCheckpointOperator(
        task_id="promote",
        champion="/shared/champion.json",
        evaluation=evaluate.output,
        path_map=PATHS,
    )
    train >> checkpoint >> evaluate >> promote

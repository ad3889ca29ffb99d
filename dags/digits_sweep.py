"""
Sweep: train with four pairs of settings, evaluate each, promote the best.

Each trial is a training of its own, and its tasks are called by its settings. The task `best`
compares the accuracies of those that have one; its table is in `trials.json` beside the trials.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_runai.task_groups.sweep import runai_sweep

CONTAINER = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "compute": {"gpu_portion": 0.5},
    "backoff_limit": 0,  # a trial that fails is a result, too
}

with DAG(
    "digits_sweep",
    description="Try four pairs of settings, keep the best.",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    max_active_runs=1,
    tags=["runai", "example"],
    doc_md=__doc__,
):
    runai_sweep(
        run_root="/shared/runs/{{ dag.dag_id }}/{{ run_id }}",
        path_map={"/shared": "{{ var.value.get('runai_shared', '/shared') }}"},
        spec=CONTAINER,
        train={
            "command": "./startup.sh",
            "args": "number-of-epochs=5",
            "environment": {
                "SECONDS_PER_EPOCH": "{{ var.value.get('digits_seconds_per_epoch', '0') }}"
            },
        },
        evaluate={"command": "./evaluate.sh"},
        space={"learning-rate": [0.001, 0.1], "batch-size": [32, 256]},
        metric="accuracy",
        gates=["accuracy >= 0.8"],
        max_live=2,
        champion="/shared/best.json",
    )

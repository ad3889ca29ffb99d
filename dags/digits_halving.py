"""
Successive halving: four trials train for four epochs, the best two of them for four more.

Each trial goes on from its newest valid checkpoint, as soon as it is among the best half of the
results so far. The containers mount the storage as `/shared`; the Airflow variable `runai_shared`
is its path on the workers.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_runai.task_groups.halving import runai_successive_halving

CONTAINER = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "termination_grace_period": 30,
    "compute": {"gpu_devices": 1},
}

with DAG(
    "digits_halving",
    description="Give most epochs to the trials that deserve them, then promote the best.",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    catchup=False,
    default_args={"retries": 2},
    tags=["runai", "example"],
    doc_md=__doc__,
):
    runai_successive_halving(
        run_root="/shared/runs/{{ dag.dag_id }}/{{ run_id }}",
        path_map={"/shared": "{{ var.value.get('runai_shared', '/shared') }}"},
        spec=CONTAINER,
        train={"command": "./startup.sh"},
        evaluate={"command": "./evaluate.sh"},
        space={"learning-rate": [0.003, 0.1], "batch-size": [32, 128]},
        metric="accuracy",
        max_live=2,
        max_steps=8,
        min_steps=4,
        eta=2,
        steps_as="epochs",
        champion="/shared/champion.json",
    )

"""
Evaluate while the training still runs, to learn hours earlier that a model is no good.

`half_way` runs beside `train`, not after it: it waits for the first valid checkpoint of step 300 or
later, and ends with the training. The evaluation holds the checkpoint against retention meanwhile.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG

from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.sensors.checkpoint import RunaiCheckpointSensor

RUN = "/shared/runs/{{ dag.dag_id }}/{{ run_id }}"
PATHS = {"/shared": "{{ var.value.get('runai_shared', '/shared') }}"}
CONTAINER = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
}

with DAG(
    "digits_early_evaluation",
    schedule=None,
    start_date=datetime(2025, 1, 1),
    tags=["runai", "example"],
    doc_md=__doc__,
):
    RunaiTrainingOperator(
        task_id="train",
        spec={
            **CONTAINER,
            "command": "./startup.sh",
            "args": "number-of-epochs=30 batch-size=64",
            "environment": {
                "CHECKPOINTS": f"{RUN}/checkpoints",
                "SECONDS_PER_EPOCH": "{{ var.value.get('digits_seconds_per_epoch', '0') }}",
            },
            "compute": {"gpu_devices": 1, "cpu_cores": 1},
        },
    )
    half_way = RunaiCheckpointSensor(
        task_id="half_way",
        root=f"{RUN}/checkpoints",
        path_map=PATHS,
        min_step=300,
        workload={"task_id": "train"},
        poke_interval=5,
    )
    RunaiEvaluationOperator(
        task_id="evaluate",
        spec={**CONTAINER, "command": "./evaluate.sh", "compute": {"gpu_devices": 1}},
        checkpoint=half_way.output,
        metrics=f"{RUN}/metrics.json",
        path_map=PATHS,
        gates=["accuracy >= 0.8"],
    )

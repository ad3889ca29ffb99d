"""Retraining started from Airflow's UI: the form asks for epochs, learning rate and GPUs."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.training import RunaiTrainingOperator

RUN = "/shared/runs/{{ dag.dag_id }}/{{ run_id }}"
PATHS = {"/shared": "{{ var.value.get('runai_shared', '/shared') }}"}

with DAG(
    "digits_from_ui",
    description="Trigger it with your own settings.",
    schedule=None,
    params={
        "epochs": Param(30, type="integer", minimum=1, maximum=1000, description="epochs in all"),
        "learning_rate": Param(
            0.1, type="number", exclusiveMinimum=0, maximum=10, description="step size of SGD"
        ),
        "gpus": Param(
            1, type="integer", minimum=1, maximum=8, description="GPUs of the training pod"
        ),
        "project": Param("team-a", type="string", description="Run:ai project"),
    },
    default_args={"retries": 2},
    tags=["runai", "example"],
    doc_md=__doc__,
):
    train = RunaiTrainingOperator(
        task_id="train",
        project="{{ params.project }}",
        spec={
            "image": "python:3.12",
            "command": "./startup.sh",
            "working_dir": "/shared/code",
            "environment": {
                "CHECKPOINTS": f"{RUN}/checkpoints",
                "EPOCHS": "{{ params.epochs }}",
                "LEARNING_RATE": "{{ params.learning_rate }}",
                "SECONDS_PER_EPOCH": "{{ var.value.get('digits_seconds_per_epoch', '0') }}",
            },
            "compute": {"gpu_devices": "{{ params.gpus }}"},
            "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
        },
        path_map=PATHS,
    )
    train >> RunaiSelectCheckpointOperator(
        task_id="checkpoint", root=f"{RUN}/checkpoints", path_map=PATHS
    )

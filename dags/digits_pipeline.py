"""
Three DAGs that are connected only by assets.

New data starts the training; a valid checkpoint (an event with uri, step and digest) starts the
evaluation in another DAG.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset, Context, task

from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.training import RunaiTrainingOperator

DATA = Asset("digits_data", uri="x-runai-example://digits/data")
CHECKPOINT = Asset("digits_checkpoint", uri="x-runai-example://digits/checkpoint")
RUN = "/shared/runs/{{ dag.dag_id }}/{{ run_id }}"
PATHS = {"/shared": "{{ var.value.get('runai_shared', '/shared') }}"}
CONTAINER = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
}

with DAG("digits_ingest", schedule=None, tags=["runai", "example"], doc_md=__doc__):

    @task(outlets=[DATA])
    def new_data(*, outlet_events: Context) -> None:
        """Stand in for the job that brings new data; its event starts the training."""
        outlet_events[DATA].extra = {"samples": 1797}

    new_data()

with DAG(
    "digits_train_on_new_data",
    schedule=[DATA],
    max_active_runs=1,
    tags=["runai", "example"],
    doc_md=__doc__,
):
    train = RunaiTrainingOperator(
        task_id="train",
        retries=2,
        spec={
            **CONTAINER,
            "command": "./startup.sh",
            "args": "number-of-epochs=30",
            "environment": {"CHECKPOINTS": f"{RUN}/checkpoints"},
            "compute": {"gpu_portion": 0.5},
        },
        path_map=PATHS,
        inlets=[DATA],
    )
    train >> RunaiSelectCheckpointOperator(
        task_id="checkpoint", root=f"{RUN}/checkpoints", path_map=PATHS, outlets=[CHECKPOINT]
    )

with DAG(
    "digits_evaluate_checkpoint", schedule=[CHECKPOINT], tags=["runai", "example"], doc_md=__doc__
):

    @task(inlets=[CHECKPOINT])
    def newest(*, triggering_asset_events: Context) -> dict[str, object]:
        """Pass on the content of the event: path, uri, step, digest."""
        return dict(triggering_asset_events[CHECKPOINT][-1].extra)

    RunaiEvaluationOperator(
        task_id="evaluate",
        retries=2,
        spec={**CONTAINER, "command": "./evaluate.sh", "compute": {"gpu_portion": 0.5}},
        checkpoint=newest(),
        metrics=f"{RUN}/metrics.json",
        path_map=PATHS,
        gates=["accuracy >= 0.95"],
        on_gate_failure="skip",
    )

"""A successive halving of two trials: both train up to the first rung, and the better one goes on."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_runai.task_groups.halving import runai_successive_halving

with DAG(
    "halving",
    schedule=None,
    is_paused_upon_creation=False,
    default_args={
        "runai_conn_id": "{{ dag_run.conf['connection'] }}",
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
    },
):
    runai_successive_halving(
        run_root="/shared/runs/{{ run_id }}",
        path_map={"/shared": "{{ dag_run.conf['shared'] }}"},
        spec={
            "image": "python:3.12",
            "working_dir": "/shared",
            "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
            "compute": {"gpu_devices": 1},
        },
        train={"command": "./train.sh"},
        evaluate={"command": "./evaluate.sh"},
        space={"rate": [0.1, 0.2]},
        metric="accuracy",
        max_live=2,
        max_steps=2,
        eta=2,
        task_arguments={"select": {"accept_unverifiable": True}},
        prefix_group_id=False,
    )

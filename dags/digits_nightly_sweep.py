"""
Sweep every night on what nobody uses: wait until half of the GPUs are idle, then try four points.

The trials are preemptible and have the lowest priority of their project, so they take GPUs beyond
the quota and give them back as soon as somebody needs them. `submit_when="idle"` keeps the others
out of Run:ai's queue. A night without room is skipped.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_runai.sensors.quota import RunaiQuotaSensor
from airflow_runai.task_groups.sweep import runai_sweep

HOUR = 3600.0
CONTAINER = {
    "image": "python:3.12",
    "working_dir": "/shared/code",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "compute": {"gpu_devices": 1},
    "preemptibility": "preemptible",
    "priority": "very-low",
    "termination_grace_period": 30,
}

with DAG(
    "digits_nightly_sweep",
    description="Four trials a night, on idle GPUs.",
    schedule="0 22 * * *",
    start_date=datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,  # with `max_live`, the cap over all nights; for a cap over DAGs, use a pool
    default_args={"retries": 1, "retry_delay": timedelta(minutes=10)},
    tags=["runai", "example"],
    doc_md=__doc__,
):
    room = RunaiQuotaSensor(
        task_id="room", when="idle", share=0.5, timeout=8 * HOUR, soft_fail=True
    )
    sweep = runai_sweep(
        run_root="/shared/runs/{{ dag.dag_id }}/{{ run_id }}",
        path_map={"/shared": "{{ var.value.get('runai_shared', '/shared') }}"},
        spec=CONTAINER,
        train={"command": "./startup.sh", "args": "number-of-epochs=5"},
        evaluate={"command": "./evaluate.sh"},
        space={
            "learning-rate": {"log_uniform": [0.001, 1.0]},
            "batch-size": {"choice": [32, 64, 128]},
        },
        sampler={"even": 4, "seed": 1},
        metric="loss",
        mode="min",
        min_successful=2,
        max_live=2,
        submit_when="idle",
        task_arguments={"train": {"timeouts": {"room": 8 * HOUR}}},
    )
    room >> sweep

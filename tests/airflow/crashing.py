"""
A worker that is about to die: run as a process of its own, with the Airflow that its environment names.

``python -m tests.airflow.crashing deferred|blocking RETRIES`` runs one training and prints how it ended.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG

from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import dag_of, run_dag

DAY = datetime(2026, 4, 1, tzinfo=timezone.utc)


def crash_dag(deferrable: bool, retries: int = 0) -> DAG:
    spec = {"image": "python:3.12", "compute": {"gpu_devices": 1}}
    known: dict[str, Any] = {
        "task_id": "task",
        "spec": spec,
        "workload_name": "crash",
        "retries": retries,
    }

    def made() -> RunaiTrainingOperator:
        return RunaiTrainingOperator(deferrable=deferrable, **known)

    return dag_of(made, dag_id="crash")


if __name__ == "__main__":
    done = run_dag(crash_dag(sys.argv[1] == "deferred", int(sys.argv[2])), at=DAY)
    print(json.dumps({"state": done.state, "words": done.words, "try": done.task().try_number}))

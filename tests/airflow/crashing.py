"""
What tests run in processes of their own, with the Airflow that the environment names.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_runai.deployment.instance_name import name_in_database
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import dag_of, run_dag
from tests.support.waiting import wait_until

#: For :func:`tests.support.forks.imported_first`.
WORKERS_IMPORT = ("tests.airflow.warmed_up",)
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


def tell_name(now: Path) -> None:
    """Print the name of this Airflow; make it, if there is none, as soon as a file is there."""
    print("ready", flush=True)
    wait_until(now.exists)
    print(name_in_database())


def work(retries: int) -> None:
    """Run one training in this process, blocking, and print how it ended."""
    done = run_dag(crash_dag(False, retries), at=DAY)
    print(json.dumps({"state": done.state, "words": done.words, "try": done.task().try_number}))

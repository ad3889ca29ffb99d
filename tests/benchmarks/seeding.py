"""
Writes deferred tasks into Airflow's database, as if workers had just deferred them.

``python -m tests.benchmarks.seeding WAITS GET_LOGS``, in the environment of an installation.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.collection import update_dag_parsing_results_in_db
from airflow.models.dag_version import DagVersion
from airflow.models.dagbag import DBDagBag
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.sdk import DAG, BaseOperator
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType

from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.benchmarks import real_server

DAG_ID = "bench"


def seed(waits: int, get_logs: str) -> None:
    """Write a run whose mapped task has ``waits`` instances, all of them deferred."""
    _write_dag()
    with create_session() as session:
        task: Any = _begin_run(session)
        version = DagVersion.get_latest_version(DAG_ID, session=session)
        assert version is not None, "just written"
        for number in range(waits):
            trigger = Trigger(*_trigger(number, get_logs).serialize())
            session.add(trigger)
            session.flush()
            instance = TaskInstance(task, version.id, run_id="run", map_index=number)
            instance.state = TaskInstanceState.DEFERRED
            instance.try_number, instance.trigger_id = 1, trigger.id
            instance.next_method, instance.next_kwargs = "execute", {}
            session.add(instance)


def _write_dag() -> None:
    with DAG(DAG_ID, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        BaseOperator(task_id="train")
    dag.relative_fileloc = "bench.py"
    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
    with create_session() as session:
        serialized = [LazyDeserializedDAG.from_dag(dag)]
        update_dag_parsing_results_in_db(
            "end_to_end", None, serialized, {}, None, set(), session=session
        )


def _begin_run(session: Any) -> Any:
    dag = DBDagBag().get_latest_version_of_dag(DAG_ID, session=session)
    assert dag is not None, "just written"
    now = datetime.now(timezone.utc)
    dag.create_dagrun(
        run_id="run",
        logical_date=now,
        data_interval=(now, now),
        run_after=now,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        triggered_by=DagRunTriggeredByType.TEST,
        start_date=now,
        session=session,
    )
    return dag.get_task("train")


def _trigger(number: int, get_logs: str) -> RunaiWorkloadTrigger:
    policy = {"poll_interval": 10.0, "when_suspended": "wait", "timeouts": {}}
    workload = real_server.as_trigger_wants(number)
    return RunaiWorkloadTrigger("runai_default", workload, policy, get_logs=get_logs)


if __name__ == "__main__":
    seed(int(sys.argv[1]), sys.argv[2])

"""Running DAGs without a scheduler, and looking at what is left of them."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_runai.backends import clients, control_plane, drivers, organization
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.flow import Flow
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator
from tests.support.waiting import wait_until

T = TypeVar("T")
#: A phase that nothing follows.
ENDED = frozenset({"Completed", "Failed"})


@dataclass
class Run:
    """What a DAG run left behind."""

    dag: DAG
    run_id: str
    state: str
    errors: list[BaseException] = field(default_factory=list)

    @property
    def words(self) -> str:
        """What the tries that failed said, oldest first."""
        return "\n".join(f"{type(error).__name__}: {error}" for error in self.errors)

    def task(self, task_id: str = "task") -> Any:
        """The task instance as the database has it."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        same = (TaskInstance.dag_id == self.dag.dag_id, TaskInstance.run_id == self.run_id)
        with create_session() as session:
            found = session.scalar(
                select(TaskInstance).where(*same, TaskInstance.task_id == task_id)
            )
            session.expunge_all()
        return found

    def xcom(self, key: str = "return_value", task_id: str = "task") -> Any:
        """What the task left under a key, or ``None``."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        same = (
            XComModel.dag_id == self.dag.dag_id,
            XComModel.run_id == self.run_id,
            XComModel.task_id == task_id,
        )
        with create_session() as session:
            found = session.scalar(select(XComModel.value).where(*same, XComModel.key == key))
        return found


def dag_of(*operators: Callable[[], BaseOperator], dag_id: str = "dag", **settings: Any) -> DAG:
    """Make a DAG of one chain; retries come at once."""
    defaults = {"retry_delay": timedelta(0), **settings.pop("default_args", {})}
    with DAG(dag_id, schedule=None, default_args=defaults, **settings) as dag:
        made = [operator() for operator in operators]
        for before, after in itertools.pairwise(made):
            before >> after
    return dag


def register(dag: DAG) -> None:
    """Write the serialized DAG where ``dag.test()`` looks for its version."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)


def run_dag(dag: DAG, at: datetime | None = None, conf: dict[str, Any] | None = None) -> Run:
    """Run to the end; the same ``at`` again means the same run id, with everything Airflow knew of it lost."""
    errors: list[Any] = []
    for task in dag.tasks:
        task.on_failure_callback = task.on_retry_callback = [
            lambda context: errors.append(context["exception"])
        ]
    register(dag)
    when: dict[str, Any] = {"logical_date": at, "run_after": at} if at else {}
    done = dag.test(run_conf=conf, **when)
    return Run(dag, done.run_id, str(done.state), errors)


def event_of(asset: str) -> Any:
    """The extra of the newest event of an asset."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        known = select(AssetModel.id).where(AssetModel.name == asset).scalar_subquery()
        newest = (
            select(AssetEvent.extra)
            .where(AssetEvent.asset_id == known)
            .order_by(AssetEvent.id.desc())
        )
        return session.scalar(newest)


def clear(done: Run) -> None:
    """Clear the only task of a run as a user does, and run it again; a deferral is followed to its end."""
    from airflow.models.taskinstance import TaskInstance, clear_task_instances
    from airflow.sdk.definitions.dag import _run_task
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    same = (TaskInstance.dag_id == done.dag.dag_id, TaskInstance.run_id == done.run_id)
    with create_session() as session:
        clear_task_instances(list(session.scalars(select(TaskInstance).where(*same))), session)
    with create_session() as session:
        (ti,) = session.scalars(select(TaskInstance).where(*same))
        ti.try_number += 1
        ti.state = TaskInstanceState.SCHEDULED
        session.commit()
        _run_task(ti=ti, task=done.dag.get_task("task"), run_triggerer=True)


class Person:
    """
    Somebody who uses Run:ai beside Airflow.

    Knows nothing of Airflow, whose talk with a task is not thread-safe.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.settings = Settings(emulator.url, emulator.client_id, emulator.client_secret)

    def do(self, flow: Flow[T]) -> T:
        tokens = Tokens(self.settings.client_id, self.settings.client_secret)
        with clients.client(self.settings) as client:
            return drivers.run(tokens.authorized(flow), client)

    def submit(self, project: str, name: str, gpus: int = 1, **spec: Any) -> Workload:
        body = {"spec": {"image": "x", "compute": {"gpuDevicesRequest": gpus}, **spec}}
        where = self.do(organization.find_project(project))
        return self.do(control_plane.create(where, "trainings", name, body))

    def steer(self, call: Callable[[Workload], Flow[None]], slug: str) -> None:
        """Suspend, resume or delete the workload of this name."""
        found = self.emulator.workloads_named(slug)[-1]
        self.do(call(self.do(control_plane.get(found.id))))

    def wait_for(self, slug: str, phase: str) -> None:
        def look() -> bool:
            seen = [found.phase for found in self.emulator.workloads_named(slug)][-1:]
            if phase not in seen and ENDED.intersection(seen):
                pytest.fail(f"{slug} has ended: {seen[0]}")
            return seen == [phase]

        wait_until(look, f"{slug} is {phase}")


@contextlib.contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """
    Do something in another thread while the block runs; what goes wrong there is raised at the end.
    """
    trouble: list[BaseException] = []

    def body() -> None:
        try:
            act()
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if trouble:
        raise trouble[0]

"""Checks of a query for checkpoints that need not read any."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from airflow_runai.errors import InvalidArgument

if TYPE_CHECKING:
    from airflow.sdk import DAG


def check_accept(accept: object) -> None:
    """Refuse codes of findings that cannot be accepted."""
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.checking.findings import ACCEPTABLE

    if not isinstance(accept, list | tuple | set | frozenset) or not ACCEPTABLE.issuperset(accept):
        raise InvalidArgument(
            [f"accept: {accept!r}; allowed: any of {', '.join(sorted(ACCEPTABLE))}"]
        )


def check_level(level: object) -> None:
    """Refuse a level that does not exist when the DAG is parsed."""
    if level not in (0, 1, 2, 3):
        raise InvalidArgument(
            [f"level: {level!r}; allowed: 0 listing, 1 structure, 2 integrity, 3 content"]
        )


def check_on_invalid(action: object) -> None:
    """Refuse an unknown action on invalid checkpoints when the DAG is parsed."""
    if action not in ("keep", "quarantine"):
        raise InvalidArgument([f"on_invalid: {action!r}; allowed: 'keep' or 'quarantine'"])


def check_training_task(dag: DAG, task_id: str) -> None:
    """Refuse a training's task that a sensor would wait for in vain."""
    if task_id not in dag.task_ids:
        # Cutoff 0: the nearest ids, however far they are.
        near = ", ".join(get_close_matches(task_id, dag.task_ids, 3, 0.0))
        raise InvalidArgument(
            [f"workload: no task {task_id!r} in DAG {dag.dag_id!r}; there are {near}"]
        )
    # The workload's id reaches a sensor by XCom alone.
    if not getattr(dag.get_task(task_id), "do_xcom_push", True):
        raise InvalidArgument(
            [f"workload: task {task_id!r} has do_xcom_push=False; name the workload instead"]
        )

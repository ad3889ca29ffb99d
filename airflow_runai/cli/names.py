"""The name that a workload would get, as far as it is known before a run."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.cli.target import Target
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.naming import TaskIdentity, base_name
from airflow_runai.deployment.instance_name import name_in_database


@dataclass(frozen=True)
class ExpectedName:
    """
    The beginning of a workload's name.

    :param base: all but the generation; unless ``complete``, only its readable part is meaningful.
    :param digest: the hash in the name.
    :param complete: whether the DAG run, which the hash covers, is known.
    """

    base: str
    digest: str
    complete: bool
    on_clear: str = "restart"

    @property
    def prefix(self) -> str:
        """What the names of all the task's workloads begin with, in any run."""
        return self.base.rpartition("-")[0] + "-"


def expected_name(target: Target, run_id: str | None, map_index: int) -> ExpectedName:
    """
    Return the beginning of the name.

    :raises SpecError: if it would not be a valid name.
    :raises Unreachable: if only the name of this Airflow is missing to complete it.
    """
    slug, task = _slug(target), target.task
    if task is not None and run_id is not None:
        identity = TaskIdentity(name_in_database(), task.dag_id, run_id, task.task_id, map_index)
        on_clear = task.get("on_clear", "restart")
        return ExpectedName(base_name(identity, slug), identity.digest(), True, on_clear)
    # The hash is a wrong one, of the right length: only what stands before it is used.
    identity = TaskIdentity("", "", "", task.task_id if task else "train", map_index)
    return ExpectedName(base_name(identity, slug), identity.digest(), complete=False)


def _slug(target: Target) -> str | None:
    """Return the readable part, if it was given and is known before rendering."""
    slug = target.argument("workload_name") or target.instructions.slug
    return slug if isinstance(slug, str) and not is_templated(slug) else None

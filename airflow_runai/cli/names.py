"""The name that a workload would get, as far as it follows from what is known before a run."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.cli.target import Told
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.naming import TaskIdentity, base_name
from airflow_runai.deployment.instance_name import name_in_database


@dataclass(frozen=True)
class Naming:
    """
    The beginning of a workload's name.

    :param base: all but the generation; only its readable part means something unless ``complete``.
    :param digest: the name's hash.
    :param complete: whether the run is known, which the hash covers.
    """

    base: str
    digest: str
    complete: bool
    on_clear: str = "restart"

    @property
    def prefix(self) -> str:
        """What the names of the task's workloads begin with, whatever the run."""
        return self.base.rpartition("-")[0] + "-"


def naming(told: Told, run_id: str | None, map_index: int) -> Naming:
    """
    Return the name's beginning.

    :raises SpecError: if the name cannot be one.
    :raises Unreachable: if it would be complete, but for what this Airflow is called.
    """
    task = told.task
    slug = (task.get("workload_name") if task else None) or told.instructions.slug
    if slug is not None and (not isinstance(slug, str) or is_templated(slug)):
        slug = None
    who = (task.dag_id, run_id or "", task.task_id) if task else ("", "", "train")
    complete, on_clear = (
        task is not None and run_id is not None,
        task.get("on_clear", "restart") if task else "restart",
    )
    identity = TaskIdentity(name_in_database() if complete else "", *who, map_index)
    return Naming(base_name(identity, slug), identity.digest(), complete, on_clear)

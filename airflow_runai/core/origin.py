"""The task instance of a workload: named by its variables, proven by the hash in its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.marks import Mark
from airflow_runai.core.naming import TaskIdentity
from airflow_runai.core.workload import FINGERPRINT_VARIABLE, named_values

#: Workloads that do not carry their map index are recognised up to this one; Airflow's default for
#: the longest mapping.
MAX_MAP_INDEX = 1024
_NAME = re.compile(r"[a-z][a-z0-9-]*-([0-9a-f]{10})-g[1-9]\d{0,3}")
#: Variables that name DAG, task and run, as Airflow itself names them.
CONTEXT_VARIABLES = tuple(f"AIRFLOW_CTX_{key}" for key in ("DAG_ID", "TASK_ID", "DAG_RUN_ID"))


@dataclass(frozen=True)
class Origin:
    """
    The task instance that a workload was made for; ``None`` where the server does not tell.

    :param map_index: -1 for a task that is not mapped.
    """

    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    map_index: int | None = None


def origin(item: JsonMapping, instance: str) -> Origin | None:
    """
    Return where a workload comes from, or ``None`` if not from this Airflow.

    :param item: an entry of the control plane's list of workloads.
    :param instance: name of this Airflow installation.
    """
    named = _NAME.fullmatch(str(item.get("name") or ""))
    variables = variables_of(item)
    if named is None:
        return None
    if variables is None:
        return Origin()  # this server's lists leave variables out; the name has our form
    names = [variables.get(name) for name in CONTEXT_VARIABLES]
    if FINGERPRINT_VARIABLE not in variables or not all(isinstance(value, str) for value in names):
        return None
    dag_id, task_id, run_id = map(str, names)
    # Anyone can set variables; the hash in the name proves that they are true.
    for index in _map_indexes(variables):
        if TaskIdentity(instance, dag_id, run_id, task_id, index).digest() == named[1]:
            return Origin(dag_id, task_id, run_id, index)
    return None


def _map_indexes(variables: JsonMapping) -> Iterable[int]:
    mark = Mark.from_environment(variables)
    return [mark.map_index] if mark else range(-1, MAX_MAP_INDEX)


def variables_of(item: JsonMapping) -> JsonMapping | None:
    """Read either shape, a mapping or a list; ``None`` if the server leaves variables out."""
    listed = item.get("environmentVariables")
    # Workloads of ours have some: an empty list was left out, too.
    return dict(named_values(listed)) if listed and isinstance(listed, (list, Mapping)) else None

"""
``airflow runai ps``: the workloads of this Airflow, and the states of their tasks.

A workload is of *this* Airflow if the hash in its name is that of this Airflow's name
(``deployment/instance_name.py``) and of the run that its variables name. ``--orphans`` lists what
``airflow runai reap`` would end (``core/orphans.py``).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.exit_codes import command
from airflow_runai.cli.output import Row, format_duration, print_rows
from airflow_runai.core.flow import now
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.origin import Origin
from airflow_runai.core.orphans import Owned, orphans
from airflow_runai.core.reasons import chapter_start, needs_reason
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.core.workload import Workload
from airflow_runai.deployment.instance_name import name_in_database
from airflow_runai.deployment.task_states import states_in_database
from airflow_runai.errors import RunaiError, Unreachable
from airflow_runai.hooks.runai import RunaiHook


@command
def main(arguments: Namespace) -> int:
    """Print one row for each workload, oldest first; exit code 1 if ``--orphans`` finds some."""
    hook = hook_for(arguments.conn)
    owned = _owned(hook, arguments)
    states = _task_states([one.origin for one in owned], required=arguments.orphans)
    if_empty = "nothing of this Airflow is there"
    if arguments.orphans:
        if_empty = "no orphans"
        owned = [orphan.owned for orphan in orphans(owned, states)]
    at = hook.run(now())  # of the control plane, whose clock stamped the workloads
    rows = [_row(hook, one, states.get(one.origin), at) for one in owned]
    if arguments.output in ("json", "yaml"):
        print_rows(rows, arguments.output)
    else:
        print_rows([_for_people(row) for row in rows], arguments.output, if_empty)
    if arguments.output == "table":
        _print_reasons(rows)
    return 1 if rows and arguments.orphans else 0


def _owned(hook: RunaiHook, arguments: Namespace) -> list[Owned]:
    """Return what this Airflow made; orphans of all projects, not of the connection's only."""
    project = arguments.project or (None if arguments.orphans else hook.settings.project)
    ended = arguments.all and not arguments.orphans
    cluster = hook.settings.cluster
    return hook.run(hook.backend.inventory(name_in_database(), project, cluster, ended=ended))


def _task_states(origins: list[Origin], *, required: bool) -> Mapping[Origin, str]:
    """Return the tasks' states; without a database none, unless they are required."""
    # The lists of some servers leave out the variables that name DAG and task.
    nameless = sum(origin.dag_id is None for origin in origins)
    if nameless and required:
        print(f"warning: {nameless} workload(s) name no task, and are left out", file=sys.stderr)
    try:
        return states_in_database(origins)
    except Unreachable as error:
        if required:
            raise
        print(f"warning: states of tasks are not known; {error}", file=sys.stderr)
        return {}


def _print_reasons(rows: Sequence[Row]) -> None:
    lines = [f"{row['name']}: {sentence}" for row in rows for sentence in _sentences(row)]
    if lines:
        print("", *lines, sep="\n")


def _sentences(row: Row) -> Sequence[str]:
    found = row["reasons"]
    return found if isinstance(found, list) else ()


def _moments(hook: RunaiHook, workload: Workload) -> tuple[Moment, ...]:
    """Return its history; nothing where the server keeps none, or no longer keeps it."""
    try:
        return hook.run(hook.backend.reader(workload).history(workload.id))
    except RunaiError:
        return ()


def _reasons(hook: RunaiHook, workload: Workload, moments: tuple[Moment, ...]) -> list[str]:
    """Return why it waits, does not start or has failed."""
    if workload.deleted or not needs_reason(workload.phase):
        return []
    try:
        found = hook.run(hook.backend.explain(workload, chapter_start(moments)))
    except RunaiError:
        return []
    return [reason.sentence for reason in found]


def _row(hook: RunaiHook, one: Owned, state: str | None, at: float) -> Row:
    workload = one.workload
    moments = _moments(hook, workload)
    seconds = clocks(moments, at).to_dict() if moments else {}
    return {
        "name": workload.name,
        "project": one.project,
        "phase": "Deleted" if workload.deleted else workload.phase,
        "airflow": state,
        "age": round(at - workload.created_at, 3) if workload.created_at else None,
        "queue": seconds.get("queue"),
        "running": seconds.get("running"),
        "interrupted_total": seconds.get("interrupted_total"),
        "interruptions": seconds.get("interruptions"),
        **task_columns(one.origin),
        "id": workload.id,
        "reasons": _reasons(hook, workload, moments),
    }


def task_columns(origin: Origin) -> Row:
    """Return the columns that name the task of a workload."""
    return {
        "dag": origin.dag_id,
        "task": origin.task_id,
        "run": origin.run_id,
        "map_index": origin.map_index,
    }


def _for_people(row: JsonMapping) -> Row:
    """Return a row with fewer columns, and with durations that are easy to read."""
    return {
        "name": row["name"],
        "project": row["project"],
        "phase": row["phase"],
        "airflow": row["airflow"],
        "age": format_duration(row["age"]),
        "queue": format_duration(row["queue"]),
        "running": format_duration(row["running"]),
        "interrupted": _interrupted(row),
        "dag": row["dag"],
        "task": _instance(row["task"], row["map_index"]),
        "run": row["run"],
    }


def _instance(task: str | None, map_index: int | None) -> str | None:
    # A task that is not mapped has -1.
    return task if map_index is None or map_index < 0 else f"{task}[{map_index}]"


def _interrupted(row: JsonMapping) -> str:
    times = row["interruptions"]
    if times is None:
        return ""
    return f"{times}× {format_duration(row['interrupted_total'])}" if times else "0"

"""
``airflow runai ps``: what this Airflow has on Run:ai, seen by the control plane, and what Airflow says of its tasks.

A workload is ours if it carries the provider's fingerprint (or, where a server's lists leave variables out, has a name
of our form), and of *this* Airflow if the hash in its name is that of ``[runai] instance_name`` and the run that its
variables name.

An *orphan* is unfinished, but its task is over in Airflow, or unknown there: nobody will see to it. Such are left
behind when a task is ended between its deferral and the triggerer's taking over, and when a DAG or run is deleted.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from airflow_runai.backends import control_plane, organization
from airflow_runai.backends.paging import read_all
from airflow_runai.cli.connecting import hook_of
from airflow_runai.cli.running import command
from airflow_runai.cli.showing import seconds, show
from airflow_runai.cli.states import states_of
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.origin import Origin, origin
from airflow_runai.core.phases import OVER
from airflow_runai.core.task_states import OVER_IN_AIRFLOW
from airflow_runai.core.texts import cut
from airflow_runai.core.timeline import Clocks, clocks
from airflow_runai.core.workload import Workload
from airflow_runai.errors import RunaiError, Unreachable, Unreadable
from airflow_runai.hooks import configuration
from airflow_runai.hooks.runai import RunaiHook

Item = Mapping[str, Any]


@command
def main(arguments: Namespace) -> int:
    """Print one row for each workload, oldest first; exit code 1 if ``--orphans`` finds some."""
    hook = hook_of(arguments.conn)
    ours = _ours(hook, arguments)
    states = _states([found for _, _, found in ours], needed=arguments.orphans)
    if arguments.orphans:
        ours = [entry for entry in ours if states.get(entry[2]) in OVER_IN_AIRFLOW]
    at = hook.run(now())
    rows = [
        _row(item, workload, found, states.get(found), _clocks(hook, workload, at), at)
        for item, workload, found in ours
    ]
    exact = arguments.output in ("json", "yaml")
    nothing = "no orphans" if arguments.orphans else "nothing of this Airflow is there"
    show(rows if exact else [_short(row) for row in rows], arguments.output, nothing)
    return 1 if rows and arguments.orphans else 0


def _ours(hook: RunaiHook, arguments: Namespace) -> list[tuple[Item, Workload, Origin]]:
    """Return what this Airflow made; what has ended is no orphan, whatever became of its task."""
    ended = arguments.all and not arguments.orphans
    listed = _listed(hook, arguments.project, deleted=False)
    if ended:
        listed += _listed(hook, arguments.project, deleted=True)
    instance = configuration.option("instance_name")
    wanted = [(item, workload) for item, workload in listed if ended or workload.meaning not in OVER]
    return [(item, workload, found) for item, workload in wanted if (found := origin(item, instance))]


def _states(origins: list[Origin], *, needed: bool) -> Mapping[Origin, str]:
    """Return the tasks' states; without a database none, unless the answer rests on them."""
    nameless = sum(found.dag_id is None for found in origins)
    if nameless and needed:
        print(f"warning: {nameless} workload(s) name no task, and are left out", file=sys.stderr)
    try:
        return states_of(origins)
    except Unreachable as error:
        if needed:
            raise
        print(f"warning: states of tasks are not known; {error}", file=sys.stderr)
        return {}


def _listed(hook: RunaiHook, project: str | None, *, deleted: bool) -> list[tuple[Item, Workload]]:
    wanted = project or hook.settings.project
    params = [("sortBy", "createdAt"), ("sortOrder", "asc"), *([("deleted", "true")] if deleted else [])]
    if wanted is not None:
        found = hook.run(organization.find_project(wanted, hook.settings.cluster))
        params.append(("filterBy", f"projectId=={found.id}"))
    return [(item, workload) for item in hook.run(_items(params)) if (workload := _read(item))]


def _items(params: list[tuple[str, str]]) -> Flow[list[Item]]:
    return (yield from read_all("/api/v1/workloads", "workloads", params))


def _read(item: Item) -> Workload | None:
    try:
        return Workload.from_wire(item)
    except Unreadable:
        return None


def _clocks(hook: RunaiHook, workload: Workload, at: float) -> Clocks | None:
    """Return the clocks; ``None`` where the server keeps no history, or keeps it no longer."""
    try:
        moments = hook.run(control_plane.history(workload.id))
    except RunaiError:
        return None
    return clocks(moments, at) if moments else None


def _row(
    item: Item, workload: Workload, found: Origin, state: str | None, spent: Clocks | None, at: float
) -> dict[str, Any]:
    known = spent.to_dict() if spent else {}
    return {
        "name": workload.name,
        "project": cut(str(item.get("projectName") or workload.project_id)),
        "phase": "Deleted" if workload.deleted else workload.phase,
        "airflow": state,
        "age": round(at - workload.created_at, 3) if workload.created_at else None,
        **{clock: known.get(clock) for clock in ("queue", "running", "interrupted_total", "interruptions")},
        "dag": found.dag_id,
        "task": found.task_id,
        "run": found.run_id,
        "map_index": found.map_index,
        "id": workload.id,
    }


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """Say durations as people do, in fewer columns."""
    mapped = row["map_index"] is not None and row["map_index"] >= 0
    return {
        **{key: row[key] for key in ("name", "project", "phase", "airflow")},
        **{key: seconds(row[key]) for key in ("age", "queue", "running")},
        "interrupted": _interrupted(row),
        "dag": row["dag"],
        "task": f"{row['task']}[{row['map_index']}]" if mapped else row["task"],
        "run": row["run"],
    }


def _interrupted(row: Mapping[str, Any]) -> str:
    times = row["interruptions"]
    return f"{times}× {seconds(row['interrupted_total'])}" if times else "" if times is None else "0"

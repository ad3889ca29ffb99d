"""
``airflow runai ps``: what this Airflow has on Run:ai, seen by the control plane; Airflow's database is not asked.

A workload is ours if it carries the provider's fingerprint (or, where a server's lists leave variables out, has a name
of our form), and of *this* Airflow if the hash in its name is that of ``[runai] instance_name`` and the run that its
variables name.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from airflow_runai.backends import control_plane
from airflow_runai.backends.paging import read_all
from airflow_runai.cli.connecting import hook_of
from airflow_runai.cli.running import command
from airflow_runai.cli.showing import seconds, show
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.origin import Origin, origin
from airflow_runai.core.phases import OVER
from airflow_runai.core.timeline import Clocks, clocks
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, RunaiError, Unreadable
from airflow_runai.hooks import configuration
from airflow_runai.hooks.runai import RunaiHook

Item = Mapping[str, Any]


@command
def main(arguments: Namespace) -> int:
    """Print one row for each workload, oldest first."""
    hook = hook_of(arguments.conn)
    listed = _listed(hook, arguments.project, deleted=False)
    if arguments.all:
        listed += _listed(hook, arguments.project, deleted=True)
    at = hook.run(now())
    instance, rows = configuration.option("instance_name"), []
    for item, workload in listed:
        found = origin(item, instance)
        if found is not None and (arguments.all or workload.meaning not in OVER):
            rows.append(_row(item, workload, found, _clocks(hook, workload, at), at))
    exact = arguments.output in ("json", "yaml")
    show(rows if exact else [_short(row) for row in rows], arguments.output, "nothing of this Airflow is there")
    return 0


def _listed(hook: RunaiHook, project: str | None, *, deleted: bool) -> list[tuple[Item, Workload]]:
    wanted = project or hook.settings.project
    params = [("sortBy", "createdAt"), ("sortOrder", "asc"), *([("deleted", "true")] if deleted else [])]
    if wanted is not None:
        found = hook.run(control_plane.find_project(wanted, hook.settings.cluster))
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
    except NotFound:
        return None
    except RunaiError:
        return None
    return clocks(moments, at) if moments else None


def _row(item: Item, workload: Workload, found: Origin, spent: Clocks | None, at: float) -> dict[str, Any]:
    known = spent.to_dict() if spent else {}
    return {
        "name": workload.name,
        "project": str(item.get("projectName") or workload.project_id),
        "phase": "Deleted" if workload.deleted else workload.phase,
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
        **{key: row[key] for key in ("name", "project", "phase")},
        **{key: seconds(row[key]) for key in ("age", "queue", "running")},
        "interrupted": _interrupted(row),
        "dag": row["dag"],
        "task": f"{row['task']}[{row['map_index']}]" if mapped else row["task"],
        "run": row["run"],
    }


def _interrupted(row: Mapping[str, Any]) -> str:
    times = row["interruptions"]
    return f"{times}× {seconds(row['interrupted_total'])}" if times else "" if times is None else "0"

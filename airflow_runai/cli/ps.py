"""
``airflow runai ps``: what this Airflow has on Run:ai, seen by the control plane, and what Airflow says of its tasks.

A workload is of *this* Airflow if the hash in its name is that of this Airflow's name
(``deployment/instance_name.py``) and of the run that its variables name. ``--orphans`` shows what
``airflow runai reap`` would end (``core/orphans.py``).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from airflow_runai.backends import control_plane
from airflow_runai.backends.inventory import inventory
from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.exit_codes import command
from airflow_runai.cli.output import format_duration, print_rows
from airflow_runai.core.flow import now
from airflow_runai.core.origin import Origin
from airflow_runai.core.orphans import Owned, orphans
from airflow_runai.core.timeline import Clocks, clocks
from airflow_runai.core.workload import Workload
from airflow_runai.deployment.instance_name import name_in_database
from airflow_runai.deployment.task_states import states_in_database
from airflow_runai.errors import RunaiError, Unreachable
from airflow_runai.hooks.runai import RunaiHook


@command
def main(arguments: Namespace) -> int:
    """Print one row for each workload, oldest first; exit code 1 if ``--orphans`` finds some."""
    hook = hook_for(arguments.conn)
    ours = _ours(hook, arguments)
    states = _states([one.origin for one in ours], needed=arguments.orphans)
    if arguments.orphans:
        ours = [orphan.owned for orphan in orphans(ours, states)]
    at = hook.run(now())
    rows = [_row(one, states.get(one.origin), _clocks(hook, one.workload, at), at) for one in ours]
    exact = arguments.output in ("json", "yaml")
    nothing = "no orphans" if arguments.orphans else "nothing of this Airflow is there"
    print_rows(rows if exact else [_short(row) for row in rows], arguments.output, nothing)
    return 1 if rows and arguments.orphans else 0


def _ours(hook: RunaiHook, arguments: Namespace) -> list[Owned]:
    """Return what this Airflow made; an orphan may be in any project, whatever the connection's default is."""
    project = arguments.project or (None if arguments.orphans else hook.settings.project)
    ended = arguments.all and not arguments.orphans
    return hook.run(inventory(name_in_database(), project, hook.settings.cluster, ended=ended))


def _states(origins: list[Origin], *, needed: bool) -> Mapping[Origin, str]:
    """Return the tasks' states; without a database none, unless the answer rests on them."""
    nameless = sum(found.dag_id is None for found in origins)
    if nameless and needed:
        print(f"warning: {nameless} workload(s) name no task, and are left out", file=sys.stderr)
    try:
        return states_in_database(origins)
    except Unreachable as error:
        if needed:
            raise
        print(f"warning: states of tasks are not known; {error}", file=sys.stderr)
        return {}


def _clocks(hook: RunaiHook, workload: Workload, at: float) -> Clocks | None:
    """Return the clocks; ``None`` where the server keeps no history, or keeps it no longer."""
    try:
        moments = hook.run(control_plane.history(workload.id))
    except RunaiError:
        return None
    return clocks(moments, at) if moments else None


def _row(one: Owned, state: str | None, spent: Clocks | None, at: float) -> dict[str, Any]:
    workload, found, known = one.workload, one.origin, spent.to_dict() if spent else {}
    return {
        "name": workload.name,
        "project": one.project,
        "phase": "Deleted" if workload.deleted else workload.phase,
        "airflow": state,
        "age": round(at - workload.created_at, 3) if workload.created_at else None,
        **{
            clock: known.get(clock)
            for clock in ("queue", "running", "interrupted_total", "interruptions")
        },
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
        **{key: format_duration(row[key]) for key in ("age", "queue", "running")},
        "interrupted": _interrupted(row),
        "dag": row["dag"],
        "task": f"{row['task']}[{row['map_index']}]" if mapped else row["task"],
        "run": row["run"],
    }


def _interrupted(row: Mapping[str, Any]) -> str:
    times = row["interruptions"]
    return (
        f"{times}× {format_duration(row['interrupted_total'])}"
        if times
        else ""
        if times is None
        else "0"
    )

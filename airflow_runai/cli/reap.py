"""``airflow runai reap``: end what nobody waits for, such as a monitor or a cron job calls it."""

from __future__ import annotations

import re
from argparse import Namespace
from functools import partial
from typing import Any

from airflow_runai.backends.inventory import inventory
from airflow_runai.backends.reaper import find_orphans, reap
from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.exit_codes import UsageError, command
from airflow_runai.cli.output import print_rows
from airflow_runai.core.orphans import Orphan
from airflow_runai.deployment.instance_name import name_in_database
from airflow_runai.deployment.task_states import states_in_database

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@command
def main(arguments: Namespace) -> int:
    """Print one row for each orphan; exit code 1 if one could not be ended, or would be."""
    older_than, hook = _seconds(arguments.older_than), hook_for(arguments.conn)
    survey = partial(inventory, name_in_database(), arguments.project, hook.settings.cluster)
    if arguments.dry_run:
        found = hook.run(find_orphans(survey, states_in_database, older_than))
        rows, code = [_row(orphan, "would be ended") for orphan in found], int(bool(found))
    else:
        fates = hook.run(reap(survey, states_in_database, older_than))
        rows, code = [_row(f.orphan, f.words) for f in fates], int(not all(f.ended for f in fates))
    print_rows(rows, arguments.output, "no orphans")
    return code


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    if not found:
        raise UsageError(
            f"--older-than: {text!r}; allowed: a whole number with s, m, h or d, such as 10m"
        )
    return float(int(found[1]) * _UNITS[found[2]])


def _row(orphan: Orphan, words: str) -> dict[str, Any]:
    workload, found = orphan.owned.workload, orphan.owned.origin
    known = {
        "name": workload.name,
        "project": orphan.owned.project,
        "phase": workload.phase,
        "airflow": orphan.state,
    }
    task = {
        "dag": found.dag_id,
        "task": found.task_id,
        "run": found.run_id,
        "map_index": found.map_index,
    }
    return {**known, **task, "outcome": words}

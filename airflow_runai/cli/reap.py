"""``airflow runai reap``: end orphans, from a monitor or a cron job."""

from __future__ import annotations

import re
from argparse import Namespace
from functools import partial

from airflow_runai.backends.reaper import Fate, find_orphans, reap
from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.exit_codes import UsageError, command
from airflow_runai.cli.output import Row, print_rows
from airflow_runai.cli.ps import task_columns
from airflow_runai.deployment.instance_name import name_in_database
from airflow_runai.deployment.task_states import states_in_database

#: A bare number is seconds, as in the operator.
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@command
def main(arguments: Namespace) -> int:
    """Print one row for each orphan; exit code 1 if one could not be ended, or would be."""
    older_than, hook = _seconds(arguments.older_than), hook_for(arguments.conn)
    backend, cluster = hook.backend, hook.settings.cluster
    survey = partial(backend.inventory, name_in_database(), arguments.project, cluster)
    # One look, not two a minute apart: nothing is ended.
    if arguments.dry_run:
        orphans = hook.run(find_orphans(survey, states_in_database, older_than))
        fates = [Fate(orphan, False, "would be ended") for orphan in orphans]
    else:
        fates = hook.run(reap(backend, survey, states_in_database, older_than))
    print_rows([_row(fate) for fate in fates], arguments.output, "no orphans")
    return int(not all(fate.ended for fate in fates))


def _seconds(age: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", age)
    if not match:
        raise UsageError(
            f"--older-than: {age!r}; allowed: a whole number with s, m, h or d, such as 10m"
        )
    return float(int(match[1]) * _UNITS[match[2]])


def _row(fate: Fate) -> Row:
    owned = fate.orphan.owned
    return {
        "name": owned.workload.name,
        "project": owned.project,
        "phase": owned.workload.phase,
        "airflow": fate.orphan.state,
        **task_columns(owned.origin),
        "outcome": fate.words,
    }

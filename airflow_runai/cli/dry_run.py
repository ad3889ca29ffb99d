"""
``airflow runai dry-run``: everything that the control plane can answer without creating anything.

It creates nothing: a POST logs in, asks for rights, or rehearses a creation (``dryRun=All``). What
a server does not have, or does not report, is ``unknown`` with the reason, not a problem. Nothing
is rendered, so the results of Jinja are unknown, too.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from airflow_runai.cli import checks
from airflow_runai.cli.checks import PROBLEM, UNKNOWN, CheckResult, DryRun, NotChecked
from airflow_runai.cli.exit_codes import UsageError, command, error_text
from airflow_runai.cli.log_check import logs
from airflow_runai.cli.name_check import name
from airflow_runai.cli.output import print_rows
from airflow_runai.cli.policy_check import policy
from airflow_runai.cli.target import Target, target_from
from airflow_runai.core.jinja import is_templated
from airflow_runai.errors import RunaiError

#: Name, check, and whether an error in the check is itself a problem.
STEPS: tuple[tuple[str, Callable[[DryRun], CheckResult], bool], ...] = (
    ("connection", checks.connection, True),
    ("token", checks.token, True),
    ("project", checks.project, True),
    ("cluster", checks.cluster, False),
    ("version", checks.version, False),
    ("specification", checks.specification, True),
    ("policy", policy, False),
    ("time limits", checks.time_limits, False),
    ("quota", checks.quota, False),
    ("free GPUs", checks.free_gpus, False),
    ("logs", logs, False),
    ("name", name, False),
)


@command
def main(arguments: Namespace) -> int:
    """Print a table, check by check; exit code 1 if there is a problem."""
    target = target_from(arguments)
    conn_id = _conn_id(arguments, target)
    run = DryRun(target, conn_id, arguments.project, arguments.run_id, arguments.map_index)
    rows = []
    for step, check, is_essential in STEPS:
        verdict, reason = _result(run, check, is_essential)
        rows.append({"check": step, "verdict": verdict, "says": reason})
    print_rows(rows, arguments.output)
    return 1 if any(row["verdict"] == PROBLEM for row in rows) else 0


def _conn_id(arguments: Namespace, target: Target) -> str:
    conn_id = arguments.conn or target.argument("runai_conn_id") or "runai_default"
    if not isinstance(conn_id, str) or is_templated(conn_id):
        raise UsageError(
            f"runai_conn_id {str(conn_id)!r} is known only when the task runs; "
            "name a connection with --conn"
        )
    return conn_id


def _result(run: DryRun, check: Callable[[DryRun], CheckResult], is_essential: bool) -> CheckResult:
    try:
        return check(run)
    except NotChecked as reason:
        return UNKNOWN, f"not asked: {reason}"
    except RunaiError as error:
        if is_essential:
            return PROBLEM, " | ".join(error_text(error).splitlines())
        # A server may lack this, or not show it to this identity.
        return UNKNOWN, f"no answer: {error}"

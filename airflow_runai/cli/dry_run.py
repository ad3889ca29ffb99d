"""
``airflow runai dry-run``: everything that can be asked of the control plane without creating anything.

It only reads: no request but the one for the token is a POST. What a server does not have, or does
not tell, is ``unknown`` with the reason, and no problem. Nothing is rendered, so what Jinja will
say is unknown, too.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator

from airflow_runai.cli import checks
from airflow_runai.cli.checks import PROBLEM, UNKNOWN, DryRun, NotAsked
from airflow_runai.cli.exit_codes import Misuse, command, sentence
from airflow_runai.cli.output import show
from airflow_runai.cli.target import Told, told
from airflow_runai.core.jinja import is_templated
from airflow_runai.errors import RunaiError

#: Name, how it is found out, and whether failing to find it out is a problem in itself.
STEPS: tuple[tuple[str, Callable[[DryRun], tuple[str, str]], bool], ...] = (
    ("connection", checks.connection, True),
    ("token", checks.token, True),
    ("project", checks.project, True),
    ("cluster", checks.cluster, False),
    ("version", checks.version, False),
    ("specification", checks.specification, True),
    ("policy", checks.policy, False),
    ("time limits", checks.time_limits, False),
    ("quota", checks.quota, False),
    ("free GPUs", checks.free_gpus, False),
    ("name", checks.name, False),
)


@command
def main(arguments: Namespace) -> int:
    """Print a table, check by check; exit code 1 if there is a problem."""
    about = told(arguments)
    run = DryRun(
        about, _conn(arguments, about), arguments.project, arguments.run_id, arguments.map_index
    )
    rows = []
    for name, verdict, says in _checked(run):
        rows.append({"check": name, "verdict": verdict, "says": says})
    show(rows, arguments.output)
    return 1 if any(row["verdict"] == PROBLEM for row in rows) else 0


def _conn(arguments: Namespace, about: Told) -> str:
    found = (
        arguments.conn
        or (about.task.get("runai_conn_id") if about.task else None)
        or "runai_default"
    )
    if not isinstance(found, str) or is_templated(found):
        raise Misuse(
            f"runai_conn_id {str(found)!r} is known only when the task runs; name a connection with --conn"
        )
    return found


def _checked(run: DryRun) -> Iterator[tuple[str, str, str]]:
    for name, look, essential in STEPS:
        try:
            verdict, says = look(run)
        except NotAsked as reason:
            verdict, says = UNKNOWN, f"not asked: {reason}"
        except RunaiError as error:
            verdict, says = (
                (PROBLEM, " | ".join(sentence(error).splitlines()))
                if essential
                else (UNKNOWN, f"no answer: {error}")
            )
        yield name, verdict, says

"""``airflow runai champion``: who is champion, who was, and back to one of them."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_runai.cli.connections import database_allowed
from airflow_runai.cli.exit_codes import UsageError, command
from airflow_runai.cli.output import Row, print_rows
from airflow_runai.core.champions import shown_date
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.tasks.champions import champions_of, check_again, roll_back

if TYPE_CHECKING:
    from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory

_NO_EVENT = (
    "note: no asset event was raised, so DAGs that wait for one do not start; "
    "RunaiRollbackChampionOperator raises it"
)


@command
def main(arguments: Namespace) -> int:
    """Print one row for each champion; exit code 1 if there is none, or one cannot be read."""
    if arguments.to is not None and arguments.action != "rollback":
        raise UsageError(f"--to: {arguments.action} goes back to none; allowed: with rollback")
    act = {"show": _show, "history": _list, "rollback": _roll_back}[arguments.action]
    with (
        database_allowed(),
        champions_of(arguments.pointer, None, arguments.storage_conn) as history,
    ):
        return act(history, arguments)


def _show(history: ChampionHistory, arguments: Namespace) -> int:
    champion = history.present()
    _print([champion] if champion else [], arguments.output)
    return 0 if champion else 1


def _list(history: ChampionHistory, arguments: Namespace) -> int:
    entries, problems = history.entries()
    # One from before there was a history is only in the pointer.
    champions = list(entries.values()) or [champion for champion in [history.present()] if champion]
    _print(reversed(champions), arguments.output)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems or not champions else 0


def _roll_back(history: ChampionHistory, arguments: Namespace) -> int:
    check = partial(check_again, level=arguments.level, storage_conn_id=arguments.storage_conn)
    _print([roll_back(history, arguments.to, None, check)], arguments.output)
    print(_NO_EVENT, file=sys.stderr)
    return 0


def _print(champions: Iterable[JsonMapping], output: str) -> None:
    for_people = output in ("table", "plain")
    rows = [_row(champion) if for_people else dict(champion) for champion in champions]
    print_rows(rows, output, "no champion")


def _row(champion: JsonMapping) -> Row:
    run: Any = champion.get("run") or {}
    metrics = champion.get("metrics") or {}
    at = champion.get("promoted_at")
    return {
        "number": champion.get("number"),
        "step": champion.get("step"),
        "metrics": ", ".join(f"{name} {value:.6g}" for name, value in sorted(metrics.items())),
        "promoted": None if at is None else shown_date(at),
        "dag": run.get("dag_id"),
        "run": run.get("run_id"),
        "rollback": _rollback(champion),
        "uri": champion["uri"],
    }


def _rollback(champion: JsonMapping) -> str:
    rollback = champion.get("rollback")
    return f"from {rollback.get('from')} to {rollback.get('to')}" if rollback else ""

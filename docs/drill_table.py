"""What the page on the drill takes from the code: checks, options, and a recorded report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from airflow_runai.drill import command
from airflow_runai.drill.judgement import QUESTIONS
from airflow_runai.drill.report import text

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


def checks(table: Table) -> str:
    """Return every check with its question."""
    rows = [(f"[`{name}`](#{name})", question) for name, (question, _) in QUESTIONS.items()]
    return table(("check", "question"), rows)


def recorded(name: str) -> dict[str, Any]:
    """Return a recorded drill, from ``docs/drills``."""
    file = Path(__file__).parent / "drills" / f"{name}.json"
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def report() -> str:
    """Return the report of a training that does not survive."""
    return f"```\n{text(recorded('ignores-sigterm'))}\n```"


def options(table: Table) -> str:
    """Return every option of the command line."""
    parser = argparse.ArgumentParser()
    command.configure(parser)
    actions = [
        action for action in parser._actions if action.option_strings and action.dest != "help"
    ]
    return table(
        ("option", "meaning"),
        [(f"`{_usage(one)}`", (one.help or "") % vars(one)) for one in actions],
    )


def _usage(action: argparse.Action) -> str:
    return f"{action.option_strings[0]} {action.metavar or ''}".strip()

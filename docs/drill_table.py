"""The tables of the page on the drill: its checks and its options, from the code."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

from airflow_runai.drill import command
from airflow_runai.drill.judgement import QUESTIONS

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


def checks(table: Table) -> str:
    """Every check with its question."""
    rows = [(f"[`{name}`](#{name})", question) for name, (question, _) in QUESTIONS.items()]
    return table(("check", "question"), rows)


def options(table: Table) -> str:
    """Every option of the command line."""
    parser = argparse.ArgumentParser()
    command.configure(parser)
    actions = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    return table(("option", "meaning"), [(f"`{_usage(one)}`", (one.help or "") % vars(one)) for one in actions])


def _usage(action: argparse.Action) -> str:
    return f"{action.option_strings[0]} {action.metavar or ''}".strip()

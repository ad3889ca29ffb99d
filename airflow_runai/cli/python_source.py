"""A command line as a DAG file that can be saved and run: Python source, laid out as the formatter would."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_runai.core.command_line import ParsedCommand
from airflow_runai.core.naming import MAX_SLUG_LENGTH

_WIDTH = 100


def dag_file(parsed: ParsedCommand) -> str:
    """
    Return a complete DAG file with one training; it has no schedule, so nothing starts by itself.
    """
    name = parsed.name or parsed.name_prefix or "training"
    lines = [
        "from airflow.sdk import DAG",
        "",
        "from airflow_runai.operators.training import RunaiTrainingOperator",
        "",
        f"with DAG({_literal(name)}, schedule=None):",
        "    RunaiTrainingOperator(",
        *(f"        {key}={_literal(value, 8)}," for key, value in _arguments(parsed, name)),
        "    )",
    ]
    return "\n".join(lines) + "\n"


def _arguments(parsed: ParsedCommand, name: str) -> Iterator[tuple[str, Any]]:
    yield "task_id", "train"
    if parsed.name or parsed.name_prefix:
        yield "workload_name", name[:MAX_SLUG_LENGTH].rstrip("-")
    if parsed.project:
        yield "project", parsed.project
    if parsed.template:
        yield "template", parsed.template
    yield "spec", parsed.spec


def _literal(value: Any, indent: int = 0) -> str:
    """Write a value as Python source; in one line if it fits, else one entry a line."""
    if isinstance(value, Mapping) and value:
        return _within(
            "{", [(f"{_scalar(key)}: ", entry) for key, entry in value.items()], "}", indent
        )
    if isinstance(value, (list, tuple)) and value:
        return _within("[", [("", entry) for entry in value], "]", indent)
    return _scalar(value)


def _within(opening: str, entries: Sequence[tuple[str, Any]], closing: str, indent: int) -> str:
    flat = opening + ", ".join(label + _literal(entry) for label, entry in entries) + closing
    if len(flat) + indent <= _WIDTH and "\n" not in flat:
        return flat
    pad = " " * (indent + 4)
    body = "".join(f"{pad}{label}{_literal(entry, indent + 4)},\n" for label, entry in entries)
    return f"{opening}\n{body}{' ' * indent}{closing}"


def _scalar(value: Any) -> str:
    # JSON's texts are Python's, and in the quotes of the house.
    return (
        json.dumps(value, ensure_ascii=not value.isprintable())
        if isinstance(value, str)
        else repr(value)
    )

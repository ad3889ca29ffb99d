"""A command line as the Python source of a DAG file, laid out as a formatter would."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from airflow_runai.core.command_line import ParsedCommand
from airflow_runai.core.naming import MAX_SLUG_LENGTH

_WIDTH = 100


def dag_file(parsed: ParsedCommand) -> str:
    """Return a complete DAG file with one training, and without a schedule."""
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


def _arguments(parsed: ParsedCommand, name: str) -> Iterator[tuple[str, object]]:
    yield "task_id", "train"
    if parsed.name or parsed.name_prefix:
        # The task adds a hash and a number: its part of the name is shorter than a whole name.
        yield "workload_name", name[:MAX_SLUG_LENGTH].rstrip("-")
    if parsed.project:
        yield "project", parsed.project
    if parsed.template:
        yield "template", parsed.template
    yield "spec", parsed.spec


def _literal(value: object, indent: int = 0) -> str:
    """Write a value as Python source; in one line if it fits, else one entry a line."""
    if isinstance(value, Mapping) and value:
        items = [(f"{_scalar(key)}: ", entry) for key, entry in value.items()]
        return _collection("{", items, "}", indent)
    if isinstance(value, (list, tuple)) and value:
        return _collection("[", [("", entry) for entry in value], "]", indent)
    return _scalar(value)


def _collection(
    opening: str, items: Sequence[tuple[str, object]], closing: str, indent: int
) -> str:
    entries = ", ".join(label + _literal(entry) for label, entry in items)
    one_line = f"{opening}{entries}{closing}"
    if len(one_line) + indent <= _WIDTH and "\n" not in one_line:
        return one_line
    blanks = " " * (indent + 4)
    lines = [f"{blanks}{label}{_literal(entry, indent + 4)}," for label, entry in items]
    return "\n".join([opening, *lines, " " * indent + closing])


def _scalar(value: object) -> str:
    if isinstance(value, str):
        # JSON's strings are valid Python, in the quotes that formatters prefer.
        return json.dumps(value, ensure_ascii=not value.isprintable())
    return repr(value)

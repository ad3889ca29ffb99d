"""
``airflow runai translate``: one ``runai submit …`` line in the other forms it can have.

All of them are made from the specification that the line becomes, so they mean the same. Values are
printed as they were typed, those of variables too: what looks like a secret is warned of, because
the result is made to be kept.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from airflow_runai.cli.exit_codes import UsageError, command
from airflow_runai.cli.output import serialize
from airflow_runai.cli.python_source import dag_file
from airflow_runai.cli.table import FORMS
from airflow_runai.core.command_line import ParsedCommand, parse_command, print_command
from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError
from airflow_runai.tasks.instructions import looks_secret

_HEADS = {
    "operator": "# DAG file",
    "yaml": "# specification",
    "line": "# CLI v2",
    "json": "# REST API",
}


@command
def main(arguments: Namespace) -> int:
    """Print the line in one form, or in all; exit code 1 if a form cannot express it."""
    parsed = parse_command(_line(arguments.line))
    wanted = FORMS if arguments.to == "all" else (arguments.to,)
    warnings = [
        *parsed.warnings,
        *_secrets(parsed.spec),
        *_without_template(parsed, wanted),
        *_over_template(parsed, wanted),
        *_prefixed(parsed, wanted),
    ]
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    found, problems = _forms(wanted, parsed)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if arguments.output in ("json", "yaml"):
        told = {**_beside(parsed), "kind": parsed.kind}
        whole = {**told, "forms": found, "warnings": warnings, "problems": problems}
        print(serialize(whole, arguments.output), end="")
    else:
        heads = [f"{_HEADS[form]}\n" if len(wanted) > 1 else "" for form in found]
        texts = (
            text if isinstance(text, str) else serialize(text, "json") for text in found.values()
        )
        print("\n".join(head + text for head, text in zip(heads, texts, strict=True)), end="")
    return 1 if problems else 0


def _line(words: list[str]) -> str | list[str]:
    words = words[1:] if words[:1] == ["--"] else words
    if words == ["-"]:
        return sys.stdin.read()
    if not words:
        raise UsageError(
            "line: missing; give a `runai submit …` line, or - to read it from standard input"
        )
    if len(words) > 1 and any(character.isspace() for character in words[0]):
        raise UsageError(f"{words[1]}: stands behind the line; options of `translate` go before it")
    if "--to" in words[: words.index("--") if "--" in words else None]:
        raise UsageError(
            "--to: stands behind the line, and is no flag of it; options of `translate` go before it"
        )
    return words[0] if len(words) == 1 else words


def _secrets(spec: Mapping[str, Any]) -> list[str]:
    variables = spec.get("environment") or {}
    return [
        f"environment.{name} looks like a secret and is printed as it is; "
        f"better: {name}: {{secret: {{name: …, key: …}}}}"
        for name, value in variables.items()
        if looks_secret(name) and not isinstance(value, Mapping)
    ]


def _without_template(parsed: ParsedCommand, wanted: tuple[str, ...]) -> list[str]:
    poorer = [form for form in wanted if form != "operator"]
    if parsed.template is None or not poorer:
        return []
    return [
        f"template {parsed.template!r}: what it holds is not part of {', '.join(poorer)}, "
        "where only the line itself is written; `render` shows a task with its template"
    ]


def _forms(wanted: tuple[str, ...], parsed: ParsedCommand) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    problems: list[str] = []
    for form in wanted:
        try:
            found[form] = _WRITERS[form](parsed)
        except SpecError as error:
            problems += [f"{form}: {problem}" for problem in error.problems]
    return found, problems


def _beside(parsed: ParsedCommand) -> dict[str, str | None]:
    """Return what is no part of a specification."""
    return {key: getattr(parsed, key) for key in ("name", "name_prefix", "project", "template")}


def _over_template(parsed: ParsedCommand, wanted: tuple[str, ...]) -> list[str]:
    line = parsed.line
    if (
        parsed.template is None
        or "operator" not in wanted
        or not (line.words or line.git or line.fills)
    ):
        return []
    return [
        f"template {parsed.template!r}: beneath `spec` it counts key by key; to have words, --git-sync and defaults "
        "lie over it as in the command line, give the line itself as `command_line`"
    ]


def _prefixed(parsed: ParsedCommand, wanted: tuple[str, ...]) -> list[str]:
    if parsed.name_prefix is None or "operator" not in wanted:
        return []
    return [
        f"name prefix {parsed.name_prefix!r}: written as workload_name, which is a prefix there, too; the task adds "
        "what makes the name unique"
    ]


def _yaml(parsed: ParsedCommand) -> str:
    """
    Write the specification; what is no key of it stands above as a comment, so that it is not lost.
    """
    beside = [f"{key}: {value}" for key, value in _beside(parsed).items() if value is not None]
    head = f"# {cut(', '.join(beside))}\n" if beside else ""
    return head + serialize(parsed.spec, "yaml")


def _v2(parsed: ParsedCommand) -> str:
    told = {"name": parsed.name, "name_prefix": parsed.name_prefix, "project": parsed.project}
    return print_command(parsed.workload(), **told) + "\n"


def _rest(parsed: ParsedCommand) -> dict[str, Any]:
    # Without projectId and clusterId, which no line knows.
    name = parsed.name or parsed.name_prefix
    told = {
        **({"name": name} if name else {}),
        **({"useGivenNameAsPrefix": True} if parsed.name_prefix else {}),
    }
    return {**told, **parsed.workload().to_wire()}


_WRITERS: dict[str, Callable[[ParsedCommand], Any]] = {
    "operator": dag_file,
    "yaml": _yaml,
    "line": _v2,
    "json": _rest,
}

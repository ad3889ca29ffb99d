"""
``airflow runai translate``: one ``runai submit …`` line in its other forms.

All forms are made from the specification that the line becomes, so they mean the same. Values are
printed as they were typed, those of variables too: there is a warning for what looks like a secret,
because the result is made to be kept.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence

from airflow_runai.cli.exit_codes import UsageError, command
from airflow_runai.cli.output import serialize
from airflow_runai.cli.python_source import dag_file
from airflow_runai.cli.table import FORMS
from airflow_runai.core.command_line import ParsedCommand, parse_command, print_command
from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError
from airflow_runai.tasks.instructions import looks_secret

_HEADINGS = {
    "operator": "# DAG file",
    "yaml": "# specification",
    "line": "# CLI v2",
    "json": "# REST API",
}


@command
def main(arguments: Namespace) -> int:
    """Print the line in one form, or in all; exit code 1 if a form cannot express it."""
    parsed = parse_command(_line(arguments.line))
    forms = FORMS if arguments.to == "all" else (arguments.to,)
    warnings = [*parsed.warnings, *_warnings(parsed, forms)]
    results, problems = _translate(parsed, forms)
    # Not on standard output, which is made to be redirected.
    for label, sentences in (("warning", warnings), ("error", problems)):
        for sentence in sentences:
            print(f"{label}: {sentence}", file=sys.stderr)
    text = _text(results, with_headings=len(forms) > 1)
    if arguments.output in ("json", "yaml"):
        result = {"forms": results, "warnings": warnings, "problems": problems}
        document = {**_outside_spec(parsed), "kind": parsed.kind, **result}
        text = serialize(document, arguments.output)
    print(text, end="")
    return 1 if problems else 0


def _line(words: list[str]) -> str | list[str]:
    # argparse keeps a -- before the line.
    words = words[1:] if words[:1] == ["--"] else words
    if words == ["-"]:
        return sys.stdin.read()
    if not words:
        raise UsageError(
            "line: missing; give a `runai submit …` line, or - to read it from standard input"
        )
    first, *others = words
    # Blanks in the first word: the line is quoted, so that nothing may follow it.
    if others and any(character.isspace() for character in first):
        raise UsageError(f"{others[0]}: follows the line; options of `translate` go before it")
    # Behind a -- of the line, --to is for the program that the line starts.
    own_words = words[: words.index("--")] if "--" in words else words
    if "--to" in own_words:
        raise UsageError(
            "--to: follows the line, and is not a flag of it; options of `translate` go before it"
        )
    return words if others else first


def _translate(
    parsed: ParsedCommand, forms: Sequence[str]
) -> tuple[dict[str, object], Sequence[str]]:
    """Return the text (or JSON document) of each form, and the problems of those without one."""
    results: dict[str, object] = {}
    problems: list[str] = []
    for form in forms:
        try:
            results[form] = _WRITERS[form](parsed)
        except SpecError as error:
            problems += [f"{form}: {problem}" for problem in error.problems]
    return results, problems


def _text(results: Mapping[str, object], with_headings: bool) -> str:
    parts = []
    for form, result in results.items():
        heading = f"{_HEADINGS[form]}\n" if with_headings else ""
        parts.append(heading + (result if isinstance(result, str) else serialize(result, "json")))
    return "\n".join(parts)


def _warnings(parsed: ParsedCommand, forms: Sequence[str]) -> Iterator[str]:
    variables: Mapping[str, object] = parsed.spec.get("environment") or {}
    for name, value in variables.items():
        if looks_secret(name) and not isinstance(value, Mapping):
            yield (
                f"environment.{name} looks like a secret and is printed as it is; "
                f"better: {name}: {{secret: {{name: …, key: …}}}}"
            )
    if parsed.template is not None:
        yield from _template_warnings(parsed, forms)
    if parsed.name_prefix is not None and "operator" in forms:
        yield (
            f"name prefix {parsed.name_prefix!r}: written as workload_name, which is a prefix "
            "there, too; the task adds what makes the name unique"
        )


def _template_warnings(parsed: ParsedCommand, forms: Sequence[str]) -> Iterator[str]:
    line, label = parsed.line, f"template {parsed.template!r}"
    without_template = [form for form in forms if form != "operator"]
    if without_template:
        yield (
            f"{label}: what it holds is not part of {', '.join(without_template)}, "
            "where only the line itself is written; `render` shows a task with its template"
        )
    if "operator" in forms and (line.words or line.git or line.fills):
        yield (
            f"{label}: beneath `spec` it counts key by key; to have words, --git-sync and defaults "
            "lie over it as in the command line, give the line itself as `command_line`"
        )


def _outside_spec(parsed: ParsedCommand) -> dict[str, str | None]:
    """Return the fields that do not belong into a specification."""
    return {
        "name": parsed.name,
        "name_prefix": parsed.name_prefix,
        "project": parsed.project,
        "template": parsed.template,
    }


def _yaml(parsed: ParsedCommand) -> str:
    """Write the specification; the other fields are kept as a comment above it."""
    outside = _outside_spec(parsed).items()
    comment = ", ".join(f"{key}: {value}" for key, value in outside if value is not None)
    head = f"# {cut(comment)}\n" if comment else ""
    return head + serialize(parsed.spec, "yaml")


def _v2(parsed: ParsedCommand) -> str:
    line = print_command(
        parsed.workload(),
        name=parsed.name,
        name_prefix=parsed.name_prefix,
        project=parsed.project,
    )
    return line + "\n"


def _rest(parsed: ParsedCommand) -> dict[str, object]:
    # Without projectId and clusterId, which no line contains.
    body: dict[str, object] = {}
    if parsed.name or parsed.name_prefix:
        body["name"] = parsed.name or parsed.name_prefix
    if parsed.name_prefix:
        body["useGivenNameAsPrefix"] = True
    return {**body, **parsed.workload().to_wire()}


_WRITERS: dict[str, Callable[[ParsedCommand], object]] = {
    "operator": dag_file,
    "yaml": _yaml,
    "line": _v2,
    "json": _rest,
}

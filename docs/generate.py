"""
Writes the parts of the documentation that come from the code: tables between marks, and pictures.

``python -m docs.generate`` (``make docs``) rewrites them; ``--check`` only reports stale ones (exit
code 1). A block begins with ``<!-- generated: NAME -->`` and ends with ``<!-- end -->``.
:data:`BLOCKS` says how to fill it. Airflow is not imported: parameters of operators are read from
their source.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path

from airflow_runai.checkpoints.__main__ import parser as checkpoint_parser
from airflow_runai.checkpoints.checking.findings import CODES
from airflow_runai.core import command_line, pod_spec, spec, storage
from airflow_runai.core.fields import declared
from airflow_runai.core.manifests import DIALECTS
from airflow_runai.core.options import OPTIONS
from airflow_runai.core.phases import PHASES
from airflow_runai.emulator.__main__ import _parser as emulator_parser
from airflow_runai.emulator.faults import KINDS
from docs import (
    belief_table,
    cli_table,
    drill_table,
    finding_codes,
    format_table,
    kubernetes_tables,
    lint_table,
    operator_tables,
    pictures,
    reason_table,
    rights_table,
    rooms,
)

DOCS = Path(__file__).parent
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def spec_keys() -> str:
    """Return every key of a specification."""
    rows = [(f"`{key}`", f"`{on_wire}`", doc) for key, on_wire, doc in spec.key_table()]
    return table(("key", "in Run:ai's API", "meaning"), rows)


def spec_lists() -> str:
    """Return the keys of entries in lists: data sources and tolerations."""
    found: list[type] = [
        cls for cls in vars(storage).values() if isinstance(cls, type) and is_dataclass(cls)
    ]
    sources = [cls for cls in found if cls is not storage.Storage]
    entries = [(f"storage.{_snake(cls.__name__)}", cls) for cls in sources] + [
        ("tolerations", pod_spec.Toleration)
    ]
    return table(("key", "in Run:ai's API", "meaning"), _entry_rows(entries))


def _entry_rows(entries: Iterable[tuple[str, type]]) -> Iterator[tuple[str, str, str]]:
    for prefix, cls in entries:
        for name, item in declared(cls).items():
            yield f"`{prefix}[].{name}`", f"`{item.metadata['wire']}`", item.metadata["doc"]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def command_flags(line: str) -> str:
    """Return every flag of one generation of the command line."""
    rows = [
        (f"`{names}`", fate, doc)
        for of, names, fate, doc in command_line.flag_table()
        if of == line
    ]
    return table(("flag", "becomes", "meaning"), rows)


def phases() -> str:
    """Return how a wait treats every phase."""
    return table(
        ("phase", "counts as", "meaning"),
        [(f"`{n}`", kind.value, text) for n, (kind, text) in PHASES.items()],
    )


def codes() -> str:
    """Return every finding code; each must have its meaning in ``finding_codes.py``."""
    stale = set(CODES) ^ set(finding_codes.MEANINGS)
    if stale:
        raise SystemExit(
            f"docs/finding_codes.py: differs from CODES in checking/findings.py: {stale}"
        )
    rows = [
        (f"`{n}`", c.severity, f"`{c.verdict}`", finding_codes.MEANINGS[n])
        for n, c in CODES.items()
    ]
    return table(("code", "severity", "leads to", "meaning"), rows)


def options() -> str:
    """Return the options of the configuration section ``[runai]``."""
    rows = [
        (f"`{name}`", f"`{option['default']}`", option["description"])
        for name, option in OPTIONS.items()
    ]
    return table(("option", "default", "meaning"), rows)


def emulator_options() -> str:
    """Return the options of the emulator."""
    actions = [
        action for action in emulator_parser()._actions if action.option_strings != ["-h", "--help"]
    ]
    rows = [(f"`{_usage(action)}`", (action.help or "") % vars(action)) for action in actions]
    return table(("option", "meaning"), rows)


def checkpoint_options() -> str:
    """Return every option of the checkpoints' command line, with the commands that take it."""
    commands: dict[str, argparse.ArgumentParser] = {}
    for action in checkpoint_parser()._actions:
        if isinstance(action.choices, dict):
            commands = action.choices
    having: dict[tuple[str, str], list[str]] = {}
    for name, command in commands.items():
        for action in command._actions:
            if action.option_strings and action.dest != "help":
                usage = f"{action.option_strings[0]} {action.metavar or _values(action)}".strip()
                having.setdefault((usage, action.help or ""), []).append(f"`{name}`")
    return table(
        ("option", "of", "meaning"),
        [(f"`{u}`", ", ".join(of), text) for (u, text), of in having.items()],
    )


def _values(action: argparse.Action) -> str:
    return "|".join(map(str, action.choices or ()))


def _usage(action: argparse.Action) -> str:
    return f"{action.option_strings[0]} {action.metavar or ''}".strip()


def faults() -> str:
    """Return the faults that the emulator can produce."""
    return table(("kind", "what happens"), [(f"`{kind}`", text) for kind, text in KINDS.items()])


BLOCKS: dict[str, Callable[[], str]] = {
    "spec-keys": spec_keys,
    "spec-lists": spec_lists,
    "command-flags-v1": lambda: command_flags("v1"),
    "command-flags-v2": lambda: command_flags("v2"),
    "phases": phases,
    "checkpoint-formats": lambda: format_table.formats(table),
    "finding-codes": codes,
    "checkpoint-options": checkpoint_options,
    "options": options,
    "emulator-options": emulator_options,
    "faults": faults,
    "drill-checks": lambda: drill_table.checks(table),
    "drill-report": drill_table.report,
    "drill-options": lambda: drill_table.options(table),
    "operators": lambda: operator_tables.all_tables(table),
    "cli": lambda: cli_table.commands(table),
    **{f"cli-{name}": partial(cli_table.options, name, table) for name in cli_table.NAMES},
    "beliefs": lambda: belief_table.tables(table),
    "reasons": lambda: table(("code", "what is told", "what to do"), reason_table.rows()),
    "lint-rules": lambda: lint_table.all_rules(table),
    "kubernetes-dialects": lambda: kubernetes_tables.dialects(table),
    "kubernetes-words": lambda: kubernetes_tables.words(table),
    "kubernetes-places": lambda: kubernetes_tables.places(table),
    "kubernetes-refusals": lambda: kubernetes_tables.refusals(table),
    "kubernetes-rights": lambda: rights_table.needs(table),
    "layers": rooms.contract,
}


def pages() -> Iterator[tuple[Path, str]]:
    """Return every generated file with the text that it should have."""
    for path in sorted(DOCS.glob("*.md")):
        fresh = _BLOCK.sub(
            lambda match: f"{match[1]}{BLOCKS[match[2]]()}\n{match[3]}", path.read_text()
        )
        yield path, fresh
    for name, picture in {**pictures.PICTURES, **rooms.PICTURES}.items():
        yield DOCS / "images" / name, picture()
    for dialect in DIALECTS:
        yield DOCS / "rbac" / f"{dialect}.yaml", rights_table.roles(dialect)


def main() -> int:
    """Write, or with ``--check`` compare."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the documentation.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if something is stale"
    )
    check = parser.parse_args().check
    stale = [
        (path, text) for path, text in pages() if not path.exists() or path.read_text() != text
    ]
    for path, text in stale:
        print(
            f"{path.relative_to(DOCS.parent)}: {'stale; run `make docs`' if check else 'written'}"
        )
        if not check:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""
Tables for a terminal, and the same rows as JSON or YAML.

Drawn by ``rich``, but not by Airflow's own printer (``airflow.cli.simple_table``): it reads square
brackets in a cell as markup, turns numbers into text, and wraps piped tables at 200 characters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

from airflow_runai.core.texts import cut

#: Characters of a cell.
MAX_CELL = 10_000
#: A file or a pipe has no width: there, one row stays one line. Characters.
_UNLIMITED = 1_000_000
#: Nothing but a rule below the header; the third line holds left edge, fill, divider, right edge.
_RULE = Box("    \n    \n -  \n" + "    \n" * 5, ascii=True)

Row = Mapping[str, object]


def print_rows(rows: Sequence[Row], output: str, if_empty: str = "nothing") -> None:
    """
    Print rows that all have the same keys.

    :param output: ``table``, ``plain`` (without rule), ``json`` or ``yaml``.
    :param if_empty: printed instead of a table without rows.
    """
    if output in ("json", "yaml"):
        print(serialize(list(rows), output), end="")
    elif not rows:
        print(if_empty)
    else:
        is_table = output == "table"
        width = None if is_table and sys.stdout.isatty() else _UNLIMITED
        print("\n".join(table_lines(rows, rule=is_table, width=width)))


def serialize(value: object, output: str) -> str:
    """Return a value as JSON or YAML, ending with a new line."""
    if output == "json":
        return json.dumps(value, indent=2) + "\n"
    import yaml  # not needed for tables

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000))


def table_lines(rows: Sequence[Row], *, rule: bool, width: int | None) -> list[str]:
    """
    Lay out a table.

    :param rule: whether to underline the header.
    :param width: of a line, in characters; the widest columns are wrapped to fit. ``None``: that of
        the terminal.
    """
    table = Table(
        *(_column(name, rows) for name in rows[0]),
        box=_RULE if rule else None,
        show_edge=False,
        pad_edge=False,
        # The rule brings a divider of one blank: either way, two blanks separate columns.
        padding=(0, 1 if rule else 2, 0, 0),
    )
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    console = _console(width)
    with console.capture() as capture:
        console.print(table, crop=False)
    # Cells are padded, which a file or a pipe has no use for.
    return [line.rstrip() for line in capture.get().splitlines()]


def _console(width: int | None) -> Console:
    # Said to rich, which would also listen to FORCE_COLOR: a file gets no escape sequences.
    is_terminal = width is None
    return Console(
        width=width, force_terminal=is_terminal, markup=False, emoji=False, highlight=False
    )


def _column(name: str, rows: Sequence[Row]) -> Column:
    """Return a column that breaks no word, so that a path or a flag can still be copied."""
    texts = [name, *(_cell(row[name]) for row in rows)]
    words = [word for text in texts for word in text.split()]
    return Column(name, min_width=max(map(cell_len, words)))


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return cut(text, MAX_CELL)  # on one line


def format_duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: ``42s``, ``3m05s``, ``2h04m``, ``3d04h``."""
    if seconds is None:
        return ""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}h"
    if hours:
        return f"{hours}h{minute:02}m"
    if minutes:
        return f"{minutes}m{second:02}s"
    return f"{second}s"

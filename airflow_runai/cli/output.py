"""
Tables, and the same as JSON or YAML.

Not Airflow's own printer: that takes square brackets in a cell for markup, and turns numbers into
texts.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from airflow_runai.core.texts import cut

#: A column is not made narrower than this, however small the terminal. Characters.
NARROWEST = 24
#: Characters of a cell.
MOST = 10_000

Row = Mapping[str, Any]


def print_rows(rows: Sequence[Row], output: str, nothing: str = "nothing") -> None:
    """
    Print rows that all have the same keys.

    :param output: ``table``, ``plain`` (without rule), ``json`` or ``yaml``.
    :param nothing: what a table without rows says.
    """
    if output in ("json", "yaml"):
        print(serialize(list(rows), output), end="")
    elif not rows:
        print(nothing)
    else:
        # A file or a pipe has no width: there, one row stays one line.
        room = (
            shutil.get_terminal_size().columns
            if output == "table" and sys.stdout.isatty()
            else None
        )
        print("\n".join(lines(rows, rule=output == "table", room=room)))


def serialize(value: Any, output: str) -> str:
    """Return a value as JSON or YAML, ending with a new line."""
    if output == "json":
        return json.dumps(value, indent=2) + "\n"
    import yaml  # not needed for tables

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000))


def lines(rows: Sequence[Row], *, rule: bool, room: int | None) -> Iterator[str]:
    """
    Lay out a table.

    :param room: characters of a line; the widest column is wrapped to fit. ``None``: as wide as it
        gets.
    """
    table = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    if room is not None:
        widest = widths.index(max(widths))
        spare = room - sum(widths) - 2 * (len(widths) - 1)
        widths[widest] = max(min(NARROWEST, widths[widest]), widths[widest] + min(0, spare))
    for number, cells in enumerate(table):
        parts = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
        for line in zip_longest(*parts, fillvalue=""):
            yield "  ".join(
                part.ljust(width) for part, width in zip(line, widths, strict=True)
            ).rstrip()
        if rule and number == 0:
            yield "  ".join("-" * width for width in widths)


def _wrapped(cell: str, width: int) -> list[str]:
    """Break between words only, so that a path or a flag can still be copied."""
    fits = len(cell) <= width
    return (
        [cell]
        if fits
        else textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False)
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return cut(text, MOST)  # one row, one line


def format_duration(value: float | None) -> str:
    """Return a duration as people say it: ``42s``, ``3m05s``, ``2h04m``, ``3d04h``."""
    if value is None:
        return ""
    whole = max(0, round(value))
    for unit, part, size in (("d", "h", 86400), ("h", "m", 3600), ("m", "s", 60)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size * (24 if unit == 'd' else 60) // size:02}{part}"
    return f"{whole}s"

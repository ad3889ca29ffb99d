"""
Tables, and the same as JSON or YAML.

Not Airflow's own printer: that takes square brackets in a cell for markup, and turns numbers into texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def show(rows: Sequence[Row], output: str, nothing: str = "nothing") -> None:
    """
    Print rows that all have the same keys.

    :param output: ``table``, ``plain`` (without rule), ``json`` or ``yaml``.
    :param nothing: what a table without rows says.
    """
    if output in ("json", "yaml"):
        print(written(list(rows), output), end="")
    elif not rows:
        print(nothing)
    else:
        print("\n".join(_lines(rows, rule=output == "table")))


def written(value: Any, output: str) -> str:
    """Return a value as JSON or YAML, ending with a new line."""
    if output == "json":
        return json.dumps(value, indent=2) + "\n"
    import yaml  # not needed for tables

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000))


def _lines(rows: Sequence[Row], rule: bool) -> Iterator[str]:
    table = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for number, cells in enumerate(table):
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        if rule and number == 0:
            yield "  ".join("-" * width for width in widths)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # One row, one line: what a server says may hold more, and control characters.
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def seconds(value: float | None) -> str:
    """Return a duration as people say it: ``42s``, ``3m05s``, ``2h04m``, ``3d04h``."""
    if value is None:
        return ""
    whole = max(0, round(value))
    for unit, part, size in (("d", "h", 86400), ("h", "m", 3600), ("m", "s", 60)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size * (24 if unit == 'd' else 60) // size:02}{part}"
    return f"{whole}s"

"""The table of lint rules: code, severity and meaning, as the rules themselves declare them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from airflow_runai.core.lint import RULES

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


def all_rules(table: Table) -> str:
    """Return one row for each rule; the code leads to its section."""
    rows = [(f"[`{code}`](#{code})", rule.severity, rule.meaning) for code, rule in RULES.items()]
    return table(("code", "severity", "meaning"), rows)

"""
Command lines of ``runai``, read and written.

:func:`parse_command` reads CLI v1 in its three grammars and CLI v2; :func:`print_command` writes
CLI v2. One table for each generation (``table_v1.py``, ``table_v2.py``) says for every flag where
it goes; the documentation's table is generated from it. Nothing is run, expanded or looked up: text
in, mapping out.

Decisions behind the tables: a line's form shows its grammar (``grammar.py``); ``10GB`` is read as
``10G`` with a warning (``values.py``); flags of interactive workloads are refused, flags of a
terminal are left out with a warning; credentials in a line are refused and never repeated
(``mounts.py``).
"""

from __future__ import annotations

from airflow_runai.core.command_line.flags import Disposition, Flag
from airflow_runai.core.command_line.parsing import ParsedCommand, parse_command
from airflow_runai.core.command_line.printing import print_command
from airflow_runai.core.command_line.table_v1 import V1
from airflow_runai.core.command_line.table_v2 import V2

__all__ = ["ParsedCommand", "flag_table", "parse_command", "print_command"]


def flag_table() -> list[tuple[str, str, str, str]]:
    """Return (command line, flag, what becomes of it, meaning) for every flag."""
    return [(line, *_cells(flag)) for line, table in (("v1", V1), ("v2", V2)) for flag in table]


def _cells(flag: Flag) -> tuple[str, str, str]:
    target = flag.target
    if target.disposition is Disposition.SPEC:
        result = ", ".join(f"`{path}`" for path in target.places)
    elif target.disposition is Disposition.ARGUMENT:
        result = f"`ParsedCommand.{target.where}`"
    else:
        result = f"{target.disposition.value}: {target.where}"
    # Users know a training without a launcher as one pod.
    only = f" ({', '.join(sorted(flag.only))} only)" if flag.only else ""
    return ", ".join(flag.spelled), result, flag.doc + only.replace("single", "one pod")

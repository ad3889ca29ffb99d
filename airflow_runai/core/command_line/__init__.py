"""
Command lines of ``runai``, read and written: what researchers type becomes a specification, and back.

:func:`parse_command` understands CLI v1 in its three grammars and CLI v2; :func:`print_command`
    writes CLI v2. One table for each generation (``rows_v1.py``, ``rows_v2.py``) says for every
    flag where it lands; the documentation's table is made of it. Nothing is run, expanded or asked
    for: text in, mapping out.

Decisions that the tables rest on: a line's form tells its grammar (``grammar.py``); ``10GB`` is
read as ``10G`` with a warning (``values.py``); what only an interactive workload has is refused,
what only a terminal needs is left out with a warning; credentials in a line are refused and never
repeated (``mounts.py``).
"""

from __future__ import annotations

from airflow_runai.core.command_line.flags import Disposition, Flag
from airflow_runai.core.command_line.parsing import ParsedCommand, parse_command
from airflow_runai.core.command_line.printing import print_command
from airflow_runai.core.command_line.rows_v1 import V1
from airflow_runai.core.command_line.rows_v2 import V2

__all__ = ["ParsedCommand", "flag_table", "parse_command", "print_command"]


def flag_table() -> list[tuple[str, str, str, str]]:
    """
    Return (command line, flag, what becomes of it, meaning) for every flag, for the documentation.
    """
    return [(line, *_cells(flag)) for line, table in (("v1", V1), ("v2", V2)) for flag in table]


def _cells(flag: Flag) -> tuple[str, str, str]:
    where = flag.landing.where
    if flag.landing.fate is Disposition.LANDS:
        fate = ", ".join(f"`{path}`" for path in where.split(", "))
    elif flag.landing.fate is Disposition.ARGUMENT:
        fate = f"`ParsedCommand.{where}`"
    else:
        fate = f"{flag.landing.fate.value}: {where}"
    only = f" ({', '.join(sorted(flag.only))} only)" if flag.only else ""
    return ", ".join(flag.spelled), fate, flag.doc + only.replace("single", "one pod")

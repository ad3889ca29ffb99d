"""The commands of ``airflow runai`` and their arguments, as tables made from the code's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from airflow_runai.cli.table import COMMANDS, CliCommand, CliOption

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

#: Commands whose arguments Airflow's parser knows; the drill has one of its own.
NAMES = tuple(command.name for command in COMMANDS if not command.has_own_parser)


def commands(table: Table) -> str:
    """Return every command in a line."""
    rows = [(f"[`{command.name}`](#{command.name})", command.help) for command in COMMANDS]
    return table(("command", "what it does"), rows)


def options(name: str, table: Table) -> str:
    """Return the arguments of one command."""
    (command,) = [command for command in COMMANDS if command.name == name]
    rows = [(f"`{_usage(option)}`", option.help) for option in _ordered(command)]
    return table(("argument", "meaning"), rows)


def _ordered(command: CliCommand) -> list[CliOption]:
    return sorted(command.options, key=lambda option: option.flags[0].startswith("-"))


def _usage(option: CliOption) -> str:
    if not option.flags[0].startswith("-"):
        name = option.flags[0].upper()
        return {"?": f"[{name}]", "...": f"{name} …"}.get(str(option.more.get("nargs", "")), name)
    spelled, value = ", ".join(option.flags), option.flags[-1].lstrip("-").replace("-", "_").upper()
    return spelled if option.more.get("action") == "store_true" else f"{spelled} {value}"

"""
What Airflow asks for at every start of ``airflow``, ``--version`` included: it must stay cheap.

Only the table is read here; a command's own file is imported when it is run.
"""

from __future__ import annotations

import argparse

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_runai.cli.table import COMMANDS, HELP, CliCommand


def get_commands() -> list[GroupCommand]:
    """Return the group ``runai``, for the key ``cli`` of the provider's description."""
    return [
        GroupCommand(
            name="runai", help=HELP, subcommands=[_action(command) for command in COMMANDS]
        )
    ]


def _action(command: CliCommand) -> ActionCommand:
    kind: type[Arg] = _Verbatim if command.own else Arg
    return ActionCommand(
        name=command.name,
        help=command.help,
        description=command.description or command.help,
        func=lazy_load_command(f"airflow_runai.cli.{command.module}.main"),
        args=tuple(
            kind(option.flags, help=option.help, **option.more) for option in command.options
        ),
    )


class _Verbatim(Arg):
    """All words of a command that has a parser of its own, which need not be imported to make Airflow's."""

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        """Take every word as it is; to ``argparse``, no word is an option without a character to begin with."""
        parser.prefix_chars = ""
        super().add_to_parser(parser)

"""
What Airflow reads at every start of ``airflow``, ``--version`` included: it must stay cheap.

Only the table is imported here; a command's own module is imported when the command runs.
"""

from __future__ import annotations

import argparse

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

from airflow_runai.cli.table import COMMANDS, HELP, CliCommand


def get_commands() -> list[GroupCommand]:
    """Return the group ``runai``, for the key ``cli`` of the provider's description."""
    actions = [_action(command) for command in COMMANDS]
    return [GroupCommand(name="runai", help=HELP, subcommands=actions)]


def _action(command: CliCommand) -> ActionCommand:
    argument_type: type[Arg] = _Verbatim if command.has_own_parser else Arg
    arguments = tuple(
        argument_type(option.flags, help=option.help, **option.more) for option in command.options
    )
    return ActionCommand(
        name=command.name,
        help=command.help,
        description=command.description or command.help,
        func=lazy_load_command(f"airflow_runai.cli.{command.module}.main"),
        args=arguments,
    )


class _Verbatim(Arg):
    """All words after a command with a parser of its own, which need not be imported here."""

    def add_to_parser(self, parser: argparse.ArgumentParser) -> None:
        """Take every word as it is: without prefix characters, ``argparse`` sees no options."""
        parser.prefix_chars = ""
        super().add_to_parser(parser)

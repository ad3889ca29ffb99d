"""Commands of a start-up script behind a name: functions, ``eval``, files that it sources."""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_runai.core.lint.shell import Command, ShellScript, read_script

#: Files that prepare a shell and run nothing.
_PREPARES = re.compile(
    r"(.*/)?(activate|conda\.sh|mamba\.sh|\.?bashrc|\.?(bash_)?profile|\.env|setvars\.sh|env\.sh)"
)
#: Programs whose output prepares a shell: ``eval "$(conda shell.bash hook)"``.
_HOOKS = re.compile(
    r"\$\(\s*(\S*/)?"
    r"(conda|mamba|micromamba|pyenv|rbenv|direnv|ssh-agent|brew|modulecmd|dircolors)\b.*"
)


def expanded(script: ShellScript, commands: Sequence[Command]) -> list[Command]:
    """Replace calls of functions and of ``eval`` by the commands in them, one level deep."""
    result: list[Command] = []
    for command in commands:
        result += _called(script, command) or [command]
    return result


def _called(script: ShellScript, command: Command) -> list[Command]:
    function = script.function(command.name)
    if function:
        return function.commands
    evaluated = _evaluated(command)
    return list(evaluated.commands) if evaluated else []


def _evaluated(command: Command) -> ShellScript | None:
    """Return what ``eval`` runs, if its text begins with a program."""
    text = " ".join(command.literal[1:])
    # A text that begins with a variable or an assignment may run anything.
    if command.name != "eval" or not re.match(r"\s*[\w./]", text) or re.match(r"\s*\w+=", text):
        return None
    return read_at(command.line, text)


def read_at(line: int, text: str) -> ShellScript | None:
    """Read a script that stands in a line of another one."""
    return read_script("\n" * (line - 1) + text)


def hands_over(command: Command) -> bool:
    """Return whether a command runs what cannot be seen here."""
    if command.name in (".", "source"):
        return not _PREPARES.fullmatch("".join(command.plain[1:2]))
    if command.name != "eval":
        return False
    return not _HOOKS.match(" ".join(command.plain[1:])) and _evaluated(command) is None

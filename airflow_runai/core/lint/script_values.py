"""
Names in a start-up script: variables that it sets once, and options that it gives to programs.

Only what holds on every path through the script counts: statements at its top level that depend on
no test.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from airflow_runai.core.lint.shell import Command, ShellScript, Statement, unquoted

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_DECLARES = ("export", "declare", "readonly", "typeset", "local")
_USE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::\?[^}]*)?\})")
#: A=$B and B=$A would never end.
_MAX_DEPTH = 5


class NamedValue(NamedTuple):
    """A variable or option and its value, in which ``$NAME`` or ``$(…)`` may be left."""

    name: str
    value: str
    line: int


def certain_commands(script: ShellScript) -> Iterator[Command]:
    """Return the commands that run in any case: in no branch, loop or function."""
    for statement in script.statements:
        if statement.function is None and not statement.compound:
            yield from certain_in(statement)


def certain_in(statement: Statement) -> list[Command]:
    """Return the commands of a statement that run in any case."""
    # Behind && or || the others depend on the first.
    return statement.commands[:1] if statement.joiners else statement.commands


def variables(script: ShellScript) -> dict[str, NamedValue]:
    """Return the variables that are set exactly once, and in any case."""
    times = Counter(assigned.name for command in script.commands for assigned in _assigned(command))
    return {
        assigned.name: assigned
        for command in certain_commands(script)
        for assigned in _assigned(command)
        if times[assigned.name] == 1
    }


def _assigned(command: Command) -> Iterator[NamedValue]:
    words = command.words[: len(command.words) - len(command.plain)]  # CKPT=/x python train.py
    if command.name in _DECLARES:
        words += command.words[1:]
    for word in words:
        match = _ASSIGNMENT.fullmatch(word)
        if match:
            name, value = match.groups()
            is_output = "$(" in value or "`" in value
            yield NamedValue(name, value if is_output else unquoted(value), command.line)


def resolved(text: str, values: Mapping[str, NamedValue]) -> str:
    """Replace variables by their values; unknown ones stay."""

    def value_of(use: re.Match[str]) -> str:
        name = use[1] or use[2]
        return values[name].value if name in values else use[0]

    for _ in range(_MAX_DEPTH):
        after = _USE.sub(value_of, text)
        if after == text:
            break
        text = after
    return text


def words_of(command: Command, values: Mapping[str, NamedValue]) -> list[str]:
    """Return the words of a command, variables replaced by their values."""
    words = command.words[len(command.words) - len(command.plain) :]
    return [resolved(word.strip('"') if "$(" in word else unquoted(word), values) for word in words]


_COPY_NAMES = "cp mv rsync scp install tar gsutil rclone mc azcopy s5cmd ossutil obsutil"
_COPIES = frozenset(_COPY_NAMES.split())
#: Of clouds the second word says that it is about storage.
_CLOUDS = {
    ("aws", "s3"),
    ("gcloud", "storage"),
    ("az", "storage"),
    ("hadoop", "fs"),
    ("hdfs", "dfs"),
}


def is_copy(command: Command) -> bool:
    """Return whether it copies or moves files."""
    return command.name in _COPIES or command.plain[:2] in _CLOUDS


def copies(script: ShellScript, path: str) -> bool:
    """Return whether the script copies from or to ``path`` anywhere, traps included."""
    values = variables(script)
    for command in script.commands:
        if is_copy(command) and any(path in word for word in words_of(command, values)):
            return True
        if command.name == "trap" and path in " ".join(command.words):
            return True
    return False

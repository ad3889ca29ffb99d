"""
What a start-up script calls things: variables that it sets once, and options that it gives to programs.

Only what holds whichever way the script takes is told: statements at its top level, of which none
depends on a test.
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
_DEEPEST = 5


class Named(NamedTuple):
    """A value with the name of its variable or option; what is not known of it stays ``$NAME`` or ``$(…)``."""

    name: str
    value: str
    line: int


def certain(script: ShellScript) -> Iterator[Statement]:
    """Return the top-level statements that are no branch, loop or function."""
    return (one for one in script.statements if one.function is None and not one.compound)


def surely(statement: Statement) -> list[Command]:
    """Return the commands of a statement that run in any case: all, or the first if the others depend on it."""
    return statement.commands[:1] if statement.joiners else statement.commands


def variables(script: ShellScript) -> dict[str, Named]:
    """Return what is set exactly once, and surely."""
    times = Counter(found.name for command in script.commands for found in _assigned(command))
    sure = [
        found for one in certain(script) for command in surely(one) for found in _assigned(command)
    ]
    return {found.name: found for found in sure if times[found.name] == 1}


def _assigned(command: Command) -> Iterator[Named]:
    before = command.words[: len(command.words) - len(command.plain)]  # CKPT=/x python train.py
    for word in (*before, *(command.words[1:] if command.name in _DECLARES else ())):
        found = _ASSIGNMENT.fullmatch(word)
        if found:
            yield Named(
                found[1],
                found[2] if "$(" in found[2] or "`" in found[2] else unquoted(found[2]),
                command.line,
            )


def resolved(text: str, known: Mapping[str, Named]) -> str:
    """Put in values of variables; others stay as they are."""
    for _ in range(_DEEPEST):
        after = _USE.sub(
            lambda use: known[use[1] or use[2]].value if (use[1] or use[2]) in known else use[0],
            text,
        )
        if after == text:
            break
        text = after
    return text


def words_of(command: Command, known: Mapping[str, Named]) -> list[str]:
    """Return the words of a command, values put in."""
    raw = command.words[len(command.words) - len(command.plain) :]
    return [resolved(word.strip('"') if "$(" in word else unquoted(word), known) for word in raw]


#: Programs that copy, and those whose second or third word says that they do.
_COPIES = {
    "cp",
    "mv",
    "rsync",
    "scp",
    "install",
    "tar",
    "gsutil",
    "rclone",
    "mc",
    "azcopy",
    "s5cmd",
    "ossutil",
    "obsutil",
}
_CLOUDS = {
    ("aws", "s3"),
    ("gcloud", "storage"),
    ("az", "storage"),
    ("hadoop", "fs"),
    ("hdfs", "dfs"),
}


def is_copy(command: Command) -> bool:
    """Whether it copies or moves files."""
    return command.name in _COPIES or command.plain[:2] in _CLOUDS


def copies(script: ShellScript, path: str) -> bool:
    """Whether the script copies anything from or to a place, anywhere in it, background and traps included."""
    known = variables(script)
    return any(
        path in word
        for command in script.commands
        if is_copy(command)
        for word in words_of(command, known)
    ) or any(
        command.name == "trap" and path in " ".join(command.words) for command in script.commands
    )

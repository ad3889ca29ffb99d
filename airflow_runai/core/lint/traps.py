"""How a start-up script reacts: its traps for signals, and ``set -e`` for failures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from airflow_runai.core.lint.functions import expanded
from airflow_runai.core.lint.shell import Command, ShellScript, read_script

SIGTERM = frozenset({"TERM", "SIGTERM", "15"})
EXIT = frozenset({"EXIT", "0"})


@dataclass(frozen=True)
class Trap:
    """What a script does at a signal; ``commands`` is ``None`` if that cannot be read."""

    line: int
    ignores: bool
    commands: tuple[Command, ...] | None

    def does(self, *names: str) -> bool:
        """Return whether one of these programs may be called."""
        return self.commands is None or any(command.name in names for command in self.commands)


def trap_of(script: ShellScript, signals: frozenset[str] = SIGTERM) -> Trap | None:
    """Return the last trap that sets something for one of these signals."""
    traps = [
        command
        for command in script.commands
        if command.name == "trap"
        and signals.intersection(command.plain[2:])
        # "trap - TERM" sets nothing.
        and command.plain[1] != "-"
    ]
    return _trap(script, traps[-1]) if traps else None


def _trap(script: ShellScript, command: Command) -> Trap:
    action = _without_quotes(command.words[command.words.index("trap") + 1])
    if not action.strip():
        return Trap(command.line, ignores=True, commands=())
    # A variable holds the action.
    inner = None if action.startswith("$") else read_script(action)
    commands = tuple(expanded(script, list(inner.commands))) if inner else None
    return Trap(command.line, ignores=False, commands=commands)


def _without_quotes(word: str) -> str:
    quoted = word[:1] in ("'", '"') and word[-1:] == word[:1]
    return word[1:-1] if quoted else word


def errexit_at(script: ShellScript, command: Command) -> bool:
    """Return whether the shell ends at the first failure when it comes to ``command``."""
    on = bool(re.match(r"#!.*sh\s+-\w*e", script.text))
    # The last "set" before the command counts.
    for before in script.commands:
        if before is command:
            break
        for switch in _errexit_switches(before):
            on = switch.startswith("-")
    return on


def _errexit_switches(command: Command) -> list[str]:
    """Return what turns it on (``-…``) or off: ``set -euo pipefail``, ``set +o errexit``."""
    if command.name != "set":
        return []
    arguments = command.plain[1:]
    letters = [word for word in arguments if re.fullmatch(r"[-+]\w*e\w*", word)]
    return letters + [sign for sign, name in pairwise(arguments) if name == "errexit"]

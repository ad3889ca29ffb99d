"""
How a start-up script ends: what runs last, what comes after it, and who would get a SIGTERM meanwhile.

What runs last is taken for the training: the last top-level statement in which more is done than preparing, printing
and cleaning up, or the first unconditional ``exec``, as nothing comes after that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_runai.core.lint.shell import Command, ShellScript, Statement, read_script

#: Programs that no training consists of.
_NAMES = """
    : . [ [[ alias apt apt-get awk break cat cd chmod chown conda continue cp curl cut date df dirname du echo eval exit
    export false find free git grep head hostname id kill let ln local logger ls mamba mkdir module mount mv nvcc
    nvidia-smi pip pip3 popd printenv printf ps pushd pwd read readonly return rm rsync sed set shift shopt sleep sort
    source stat sync tail tar tee test touch tr trap true type ulimit umask uname unset unzip wait wget which whoami
"""
_QUICK = frozenset(_NAMES.split())
_QUICK_PYTHON = re.compile(r"-(c|V|-version|m (pip|venv|ensurepip|compileall|nltk\.downloader|spacy|site)\b).*")
_INSTALLS = re.compile(r"\b(install|sync|conda|mamba|micromamba|poetry|pipenv|pdm|uv|make)\b")
_TERM = frozenset({"TERM", "SIGTERM", "15"})


def is_quick(command: Command) -> bool:
    """Whether a command prepares, prints or cleans up; a mere assignment does too."""
    words = command.plain
    if not words or words[0].startswith(("((", "-", "{")):
        return True
    if words[0] == "exec":
        return len(words) == 1  # with redirections only, it opens files
    if re.fullmatch(r"python[\d.]*", command.name):
        return bool(_QUICK_PYTHON.fullmatch(" ".join(words[1:]).replace("\n", " ")))
    return command.name in _QUICK or (command.name == "uv" and words[1:2] != ("run",))


def installs(command: Command) -> bool:
    """Whether a command may install packages."""
    return bool(_INSTALLS.search(" ".join(command.plain)))


def is_exec(command: Command) -> bool:
    """Whether a program takes the shell's place; in a pipeline or in the background it takes a child's."""
    return command.plain[:1] == ("exec",) and not (is_quick(command) or command.piped or command.background)


@dataclass(frozen=True)
class Ending:
    """
    The end of a script.

    :param last: the statement in which the training runs.
    :param commands: its commands; of a function that it calls, too.
    :param after: statements behind it.
    """

    last: Statement
    commands: tuple[Command, ...]
    after: tuple[Statement, ...]

    @property
    def training(self) -> Command:
        """The command that is taken for the training."""
        return next(command for command in reversed(self.commands) if not is_quick(command))

    @property
    def background(self) -> bool:
        """Whether it runs behind the shell's back."""
        return self.last.background or self.training.background

    @property
    def waits(self) -> list[Command]:
        """The ``wait`` commands, in the statement itself and behind it."""
        return [c for s in (self.last, *self.after) for c in s.commands if c.name == "wait"]

    @property
    def replaces_shell(self) -> bool:
        """Whether a program may take the shell's place, at least in one branch."""
        return not self.last.piped and any(is_exec(command) for command in self.commands)


def ending(script: ShellScript) -> Ending | None:
    """Return how a script ends; ``None`` if nothing runs in it, or if it hands over to what cannot be seen."""
    if any(command.name in (".", "source", "eval") for command in script.commands):
        return None
    body = [statement for statement in script.statements if statement.function is None]
    for index, statement in enumerate(body):
        if _leaves_for_good(statement):
            body = body[: index + 1]
            break
    for index in range(len(body) - 1, -1, -1):
        commands = _with_functions(script, body[index].commands)
        if any(not is_quick(command) for command in commands):
            return Ending(body[index], tuple(commands), tuple(body[index + 1 :]))
    return None


def _leaves_for_good(statement: Statement) -> bool:
    return not statement.compound and not statement.joiners and is_exec(statement.commands[0])


def _with_functions(script: ShellScript, commands: Sequence[Command]) -> list[Command]:
    """Put the commands of functions, one level deep, in the place of their calls."""
    found: list[Command] = []
    for command in commands:
        called = script.function(command.name)
        found += called.commands if called else [command]
    return found


@dataclass(frozen=True)
class Trap:
    """What a script does at SIGTERM; ``commands`` is ``None`` if that cannot be read."""

    line: int
    ignores: bool
    commands: tuple[Command, ...] | None

    def does(self, *names: str) -> bool:
        """Whether one of these programs is called."""
        return self.commands is None or any(command.name in names for command in self.commands)


def trap_of(script: ShellScript) -> Trap | None:
    """Return the last trap for SIGTERM that sets something."""
    found = [command for command in script.commands if command.name == "trap" and _TERM & set(command.plain[2:])]
    found = [command for command in found if command.plain[1] != "-"]
    return _trap(script, found[-1]) if found else None


def _trap(script: ShellScript, command: Command) -> Trap:
    raw = command.words[command.words.index("trap") + 1]
    action = raw[1:-1] if raw[:1] in ("'", '"') and raw[-1:] == raw[:1] else raw
    if not action.strip():
        return Trap(command.line, ignores=True, commands=())
    inner = read_script(action) if not action.startswith("$") else None
    commands = _with_functions(script, list(inner.commands)) if inner else None
    return Trap(command.line, ignores=False, commands=tuple(commands) if commands is not None else None)

"""
How a start-up script ends: what runs last, what comes after it, and who would get a SIGTERM meanwhile.

What runs last is taken for the training: the last top-level statement in which more is done than
preparing, printing and cleaning up, or the first unconditional ``exec``, as nothing comes after
that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from airflow_runai.core.lint.launchers import chain, inline, program
from airflow_runai.core.lint.shell import Command, ShellScript, Statement, read_script

#: Programs that no training consists of.
_NAMES = """
    : . [ [[ alias apt apt-get awk aws az azcopy break cat cd chmod chown conda continue cp curl cut date df dirname du
    echo eval exit export false find free gcloud git grep gsutil hdfs head hostname id kill let ln local logger ls mamba
    mc micromamba mkdir module mount mv nvcc nvidia-smi pip pip3 popd printenv printf ps pushd pwd rclone read readonly
    return rm rsync s5cmd scp sed set shift shopt sleep sort source stat sync tail tar tee test touch tr trap true type
    ulimit umask uname unset unzip uv wait wget which whoami
"""
_QUICK = frozenset(_NAMES.split())
_QUICK_PYTHON = re.compile(
    r"-(c|V|-version|m (pip|venv|ensurepip|compileall|nltk\.downloader|spacy|site)\b).*"
)
_INSTALLS = re.compile(r"\b(install|sync|conda|mamba|micromamba|poetry|pipenv|pdm|uv|make)\b")
#: Files that prepare a shell and run nothing.
_PREPARES = re.compile(
    r"(.*/)?(activate|conda\.sh|mamba\.sh|\.?bashrc|\.?(bash_)?profile|\.env|setvars\.sh|env\.sh)"
)
#: Programs whose output prepares a shell: ``eval "$(conda shell.bash hook)"``.
_HOOKS = re.compile(
    r"\$\(\s*(\S*/)?(conda|mamba|micromamba|pyenv|rbenv|direnv|ssh-agent|brew|modulecmd|dircolors)\b.*"
)
_TERM = frozenset({"TERM", "SIGTERM", "15"})


def is_quick(command: Command) -> bool:
    """Whether a command prepares, prints or cleans up; a mere assignment does too."""
    words = command.plain
    if (
        not words
        or words[0].startswith(("((", "-", "{"))
        or words[:2] in (("command", "-v"), ("command", "-V"))
    ):
        return True
    started = chain(words)[-1]
    if program(started) in ("exec", "env", "command"):
        return (
            program(started) != "env" or len(words) == 1
        )  # with redirections only, exec opens files
    if re.fullmatch(r"python[\d.]*", program(started)):
        return bool(_QUICK_PYTHON.fullmatch(" ".join(started[1:]).replace("\n", " ")))
    return program(started) in _QUICK


def installs(command: Command) -> bool:
    """Whether a command may install packages."""
    return bool(_INSTALLS.search(" ".join(command.plain)))


def is_exec(command: Command) -> bool:
    """Whether a program takes the shell's place; in a pipeline or in the background it takes a child's."""
    return command.plain[:1] == ("exec",) and not (
        is_quick(command) or command.piped or command.background
    )


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
    if any(_hands_over(command) for command in script.commands):
        return None
    body = reached(script)
    found = [
        index
        for index, one in enumerate(body)
        if not all(map(is_quick, expanded(script, one.commands)))
    ]
    index = _awaited(script, body, found) if found else None
    if index is None:
        return None
    return Ending(
        body[index], tuple(expanded(script, body[index].commands)), tuple(body[index + 1 :])
    )


def _awaited(script: ShellScript, body: Sequence[Statement], found: Sequence[int]) -> int:
    """Return what runs last; or what a trap tells of the signal and the script waits for, if something comes after."""
    trap, last = trap_of(script), found[-1]
    if trap is None or trap.commands is None or not trap.does("kill") or body[last].background:
        return last
    for index in reversed(found[:-1]):
        between = [command.name for one in body[index:last] for command in one.commands]
        if any(command.background for command in body[index].commands) and "wait" in between:
            return index
    return last


def reached(script: ShellScript) -> list[Statement]:
    """Return the top-level statements up to an ``exec`` from which nobody comes back."""
    body = [statement for statement in script.statements if statement.function is None]
    last = next(
        (index for index, statement in enumerate(body) if _leaves_for_good(statement)), len(body)
    )
    return body[: last + 1]


def judged(script: ShellScript) -> ShellScript:
    """
    Return the script whose shell is process 1 in the end: that of ``exec sh -c '…'``, if it stays for the training.

    A shell puts the last command of such a text in its own place by itself; most do.
    """
    end = ending(script)
    text = (
        inline(end.training.literal)
        if end and end.replaces_shell and not end.last.compound
        else None
    )
    inner = read_script("\n" * (end.training.line - 1) + text) if end and text else None
    within = ending(inner) if inner else None
    if inner is None or within is None or within.replaces_shell:
        return script
    stays = within.after or within.last.compound or within.last.commands[-1] is not within.training
    return inner if stays or within.training.piped or within.background else script


def _hands_over(command: Command) -> bool:
    if command.name in (".", "source"):
        return not _PREPARES.fullmatch("".join(command.plain[1:2]))
    return (
        command.name == "eval"
        and not _HOOKS.match(" ".join(command.plain[1:]))
        and _evaluated(command) is None
    )


def _evaluated(command: Command) -> ShellScript | None:
    """Return what ``eval`` runs, if its text begins with a program and not with something to be expanded."""
    text = " ".join(command.literal[1:])
    if command.name != "eval" or not re.match(r"\s*[\w./]", text) or re.match(r"\s*\w+=", text):
        return None
    return read_script("\n" * (command.line - 1) + text)


def _leaves_for_good(statement: Statement) -> bool:
    return not statement.compound and not statement.joiners and is_exec(statement.commands[0])


def expanded(script: ShellScript, commands: Sequence[Command]) -> list[Command]:
    """
    Put the commands of functions and of ``eval``, one level deep, in the place of their calls.
    """
    found: list[Command] = []
    for command in commands:
        called = script.function(command.name)
        inner = _evaluated(command) if called is None else None
        if called or inner:
            found += called.commands if called else list(inner.commands if inner else ())
        else:
            found.append(command)
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


def errexit_at(script: ShellScript, command: Command) -> bool:
    """Whether the shell ends at the first failure when it comes to ``command``."""
    on = bool(re.match(r"#!.*sh\s+-\w*e", script.text))
    for before in script.commands:
        if before is command:
            break
        if before.name == "set":
            told = before.plain[1:]
            letters = [word for word in told if re.fullmatch(r"[-+]\w*e\w*", word)]
            named = [sign for sign, name in pairwise(told) if name == "errexit"]
            on = (letters + named)[-1].startswith("-") if letters or named else on
    return on


def never_ends(statement: Statement) -> Command | None:
    """Return the command for which a statement never comes to its end, whatever happens; ``None`` if there is none."""
    commands = statement.commands
    if statement.background or (statement.compound and not statement.forever):
        return None
    if statement.forever:
        leaves = any(command.name in ("break", "exit", "return", "exec") for command in commands)
        return None if leaves else commands[0]
    for index, command in enumerate(commands):
        # "[ -n "$DEBUG" ] && sleep infinity" depends; after a training it does not matter whether
        # that failed.
        decided = not statement.joiners or any(not is_quick(before) for before in commands[:index])
        if decided and not command.background and _is_endless(command):
            return command
    return None


def waits_for_ever(statements: Sequence[Statement]) -> Command | None:
    """Return the bare ``wait`` that waits for something in the background that never ends, too."""
    endless = False
    for statement in statements:
        for command in statement.commands:
            endless |= command.background and _is_endless(command)
            if endless and command.plain == ("wait",) and not statement.compound:
                return command
        endless |= (
            statement.background
            and statement.forever
            and never_ends(replace(statement, background=False)) is not None
        )
    return None


def _is_endless(command: Command) -> bool:
    words = chain(command.plain)[-1] if command.plain else ()
    options = words[1:]
    if program(words) == "tail":
        follows = any(re.fullmatch(r"-\w*[fF]\w*|--follow(=.*)?|--retry", word) for word in options)
        return follows and not any(word.startswith("--pid") for word in options)
    if program(words) == "sleep":
        return any(re.fullmatch(r"inf(inity)?|[1-9]\d*d|[1-9]\d{5,}s?", word) for word in options)
    if program(words) == "jupyter":
        return words[1:2] in (("lab",), ("notebook",), ("server",))
    return program(words) in ("tensorboard", "code-server", "jupyter-lab", "jupyter-notebook")


def trap_of(script: ShellScript, signals: frozenset[str] = _TERM) -> Trap | None:
    """
    Return the last trap for one of these signals that sets something; without others for SIGTERM.
    """
    found = [
        command
        for command in script.commands
        if command.name == "trap" and signals & set(command.plain[2:])
    ]
    found = [command for command in found if command.plain[1] != "-"]
    return _trap(script, found[-1]) if found else None


def _trap(script: ShellScript, command: Command) -> Trap:
    raw = command.words[command.words.index("trap") + 1]
    action = raw[1:-1] if raw[:1] in ("'", '"') and raw[-1:] == raw[:1] else raw
    if not action.strip():
        return Trap(command.line, ignores=True, commands=())
    inner = read_script(action) if not action.startswith("$") else None
    commands = expanded(script, list(inner.commands)) if inner else None
    return Trap(
        command.line, ignores=False, commands=tuple(commands) if commands is not None else None
    )

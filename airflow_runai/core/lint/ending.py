"""
How a start-up script ends: its last program, the statements behind it, and its place at SIGTERM.

What runs last is taken for the training: the last top-level statement that does more than prepare,
print and clean up, or the first unconditional ``exec``, since nothing comes after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_runai.core.lint.commands import is_endless, is_exec, is_quick
from airflow_runai.core.lint.functions import expanded, hands_over, read_at
from airflow_runai.core.lint.launchers import inline
from airflow_runai.core.lint.shell import Command, ShellScript, Statement
from airflow_runai.core.lint.traps import trap_of


@dataclass(frozen=True)
class Ending:
    """
    The end of a script.

    :param last: the statement in which the training runs.
    :param commands: its commands, those of functions that it calls included.
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
        """Whether it runs in the background."""
        return self.last.background or self.training.background

    @property
    def waits(self) -> list[Command]:
        """The ``wait`` commands, in the statement itself and behind it."""
        return [
            command
            for statement in (self.last, *self.after)
            for command in statement.commands
            if command.name == "wait"
        ]

    @property
    def replaces_shell(self) -> bool:
        """Whether a program may take the shell's place, at least in one branch."""
        return not self.last.piped and any(is_exec(command) for command in self.commands)


def ending(script: ShellScript) -> Ending | None:
    """Return how a script ends; ``None`` if nothing runs in it, or if the end cannot be seen."""
    if any(hands_over(command) for command in script.commands):
        return None
    body = reached(script)
    working = [index for index, statement in enumerate(body) if _works(script, statement)]
    if not working:
        return None
    index = _index_of_training(script, body, working)
    last = body[index]
    return Ending(last, tuple(expanded(script, last.commands)), tuple(body[index + 1 :]))


def _works(script: ShellScript, statement: Statement) -> bool:
    return not all(map(is_quick, expanded(script, statement.commands)))


def _index_of_training(
    script: ShellScript, body: Sequence[Statement], working: Sequence[int]
) -> int:
    """Return the last statement that works, or an earlier one that the script serves until then."""
    trap, last = trap_of(script), working[-1]
    if trap is None or trap.commands is None or not trap.does("kill") or body[last].background:
        return last
    # A trap forwards the signal, and the script waits before its last program: that one only
    # tidies up after the training in the background.
    for index in reversed(working[:-1]):
        between = [command.name for one in body[index:last] for command in one.commands]
        if "wait" in between and any(command.background for command in body[index].commands):
            return index
    return last


def reached(script: ShellScript) -> list[Statement]:
    """Return the top-level statements up to an ``exec`` that never returns."""
    body = [statement for statement in script.statements if statement.function is None]
    for index, statement in enumerate(body):
        if _never_returns(statement):
            return body[: index + 1]
    return body


def _never_returns(statement: Statement) -> bool:
    # In a branch, or behind a test, it may not come to it.
    return not statement.compound and not statement.joiners and is_exec(statement.commands[0])


def judged(script: ShellScript) -> ShellScript:
    """
    Return the script whose shell is process 1 in the end.

    That is the script in ``exec sh -c '…'`` if its shell stays for the training. Most shells put
    the last command of such a text in their own place.
    """
    outer = ending(script)
    if outer is None or not outer.replaces_shell or outer.last.compound:
        return script
    inner = inner_script(outer)
    within = ending(inner) if inner else None
    if inner is None or within is None or within.replaces_shell:
        return script
    training = within.training
    is_last = within.last.commands[-1] is training and not within.after
    stays = not is_last or within.last.compound or training.piped or within.background
    return inner if stays else script


def inner_script(end: Ending) -> ShellScript | None:
    """Return the text of ``sh -c`` if the training is one."""
    text = inline(end.training.literal)
    return read_at(end.training.line, text) if text else None


def never_ends(statement: Statement) -> Command | None:
    """Return the command that keeps a statement from ever ending, whatever happens."""
    commands = statement.commands
    if statement.background or (statement.compound and not statement.forever):
        return None
    if statement.forever:
        # An exec replaces the shell, and the loop with it.
        leaves = any(command.name in ("break", "exit", "return", "exec") for command in commands)
        return None if leaves else commands[0]
    # "[ -n "$DEBUG" ] && sleep infinity" depends on a test; after a training it does not matter
    # whether that failed.
    is_certain = not statement.joiners
    for command in commands:
        if is_certain and not command.background and is_endless(command):
            return command
        is_certain = is_certain or not is_quick(command)
    return None


def waits_for_ever(statements: Sequence[Statement]) -> Command | None:
    """Return the bare ``wait`` that also waits for an endless program in the background."""
    endless = False
    for statement in statements:
        for command in statement.commands:
            endless |= command.background and is_endless(command)
            if endless and command.plain == ("wait",) and not statement.compound:
                return command
        endless |= _is_endless_loop_in_background(statement)
    return None


def _is_endless_loop_in_background(statement: Statement) -> bool:
    if not (statement.background and statement.forever):
        return False
    return never_ends(replace(statement, background=False)) is not None

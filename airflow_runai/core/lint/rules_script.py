"""Rules on the start-up script: does it start, do its arguments reach the training, is its failure seen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_runai.core.lint.ending import (
    Ending,
    ending,
    errexit_at,
    installs,
    is_quick,
    never_ends,
)
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.launchers import inline
from airflow_runai.core.lint.rule import rule
from airflow_runai.core.lint.shell import Command, ShellScript, Statement, read_script
from airflow_runai.core.lint.shell_tokens import arguments_in
from airflow_runai.core.lint.subject import Script

Hits = Iterator[tuple[str, str]]

_SHELL = re.compile(r"(.*/)?(ba|da|k|z|a)?sh|env|tini|dumb-init")
_REQUIREMENTS = re.compile(
    r"(.*requirements.*\.txt|environment\.ya?ml|pyproject\.toml|setup\.py|Pipfile|uv\.lock)"
)
_ELSEWHERE = re.compile(r".*\.(ba)?sh|make")
_PRINTS = ("echo", "printf")
_FORGIVES = ("true", ":", "echo")


def _program_of(facts: Facts) -> str | None:
    """Return the first word that the container starts; ``None`` if it is not known or the image decides."""
    return facts.words[0] if not isinstance(facts.words, Unknown) and facts.words else None


def _is_started_directly(facts: Facts, script: Script) -> bool:
    """Whether the kernel starts the script, rather than a shell that is given its name."""
    return facts.spec is None or _name(_program_of(facts)) == _name(script.name)


def _name(path: str | None) -> str:
    return (path or "").rpartition("/")[2]


@rule("script-crlf", "error", "the script has Windows line ends")
def script_crlf(facts: Facts) -> Hits:
    r"""The kernel looks for an interpreter called ``sh\r``; the shell sees ``\r`` in every last word."""
    script = facts.subject.script
    if script and "\r\n" in script.text:
        line = script.text[: script.text.index("\r\n")].count("\n") + 1
        yield (
            facts.at(line),
            "Windows line ends (CRLF): no shell can run it; convert it, e.g. with dos2unix",
        )


@rule("script-no-shebang", "error", "the script does not say what runs it")
def script_no_shebang(facts: Facts) -> Hits:
    """Started by the kernel, it ends in *exec format error*."""
    script = facts.subject.script
    if (
        script
        and script.text
        and not script.text.startswith("#!")
        and _is_started_directly(facts, script)
    ):
        mark = (
            "an invisible mark (BOM) before #!"
            if script.text.startswith("\ufeff#!")
            else "no #! in the first line"
        )
        yield (
            facts.at(1),
            f"{mark}: 'exec format error'; begin with #!/bin/sh, or set command to 'sh {script.name}'",
        )


@rule("script-not-executable", "error", "the script may not be executed")
def script_not_executable(facts: Facts) -> Hits:
    """Mode bits come from the storage; an image may differ."""
    script = facts.subject.script
    if (
        script
        and script.mode is not None
        and not script.mode & 0o111
        and _is_started_directly(facts, script)
    ):
        yield (
            facts.at(1),
            f"mode {script.mode & 0o777:04o}: 'permission denied'; chmod +x, or command 'sh {script.name}'",
        )


@rule("script-hides-failure", "error", "the script ends with 0 though the training failed")
def script_hides_failure(facts: Facts) -> Hits:
    """Then the workload counts as completed, and nobody retries."""
    end = facts.ending
    if (
        end is not None
        and facts.judged
        and not end.replaces_shell
        and not any(map(never_ends, end.after))
    ):
        reason = _hidden(facts.judged, end)
        if reason:
            yield (
                facts.at(end.training.line),
                f"{end.training.shown}: {reason}, so a failure looks like success",
            )


def _hidden(script: ShellScript, end: Ending) -> str | None:
    """Say what hides a failure of the training, in the script or in the text of ``sh -c`` that it runs."""
    text = inline(end.training.literal)
    inner = read_script("\n" * (end.training.line - 1) + text) if text else None
    within = ending(inner) if inner else None
    found = _hidden(inner, within) if inner and within and not within.replaces_shell else None
    return found or _hidden_by_statement(script, end) or _hidden_afterwards(script, end)


def _hidden_by_statement(script: ShellScript, end: Ending) -> str | None:
    if "pipefail" not in script.text and "PIPESTATUS" not in script.text and _last(end).piped:
        return "the exit code of a pipeline is that of its last part"
    return _forgiven(end.last)


def _last(end: Ending) -> Command:
    """Return the last command of the training's statement; of a text for ``eval``, its last one."""
    return end.commands[-1] if end.last.commands[-1].name == "eval" else end.last.commands[-1]


def _forgiven(statement: Statement) -> str | None:
    last = statement.commands[-1]
    if statement.joiners[-1:] == ["||"] and (last.name in _FORGIVES or last.plain == ("exit", "0")):
        return f"|| {' '.join(last.plain[:1])} takes its exit code away"
    return None


def _hidden_afterwards(script: ShellScript, end: Ending) -> str | None:
    if end.last.compound or any(statement.compound for statement in end.after):
        return None
    after = list(end.after)
    commands = [
        command
        for statement in after
        for command in statement.commands
        if command.name not in _PRINTS
    ]
    words = " ".join(word for command in commands for word in command.words)
    if end.background:
        if not end.waits:
            return None
        if all(command.plain == ("wait",) for command in end.waits) and "exit" not in words:
            return "wait without a process id ends with 0"
        while not any(
            command.name == "wait" for command in (after[-1] if after else end.last).commands
        ):
            after.pop()
        forgiven = _forgiven(after[-1]) if after else None
        if forgiven and not _keeps_code(words):
            return forgiven
        after = list(end.after[len(after) :])
    last = [
        command
        for statement in after
        for command in statement.commands
        if command.plain != ("exit",)
    ][-1:]
    decides = end.waits[-1] if end.background else end.training
    if not last or _keeps_code(words) or errexit_at(script, decides):
        return None
    return f"the script ends with the exit code of line {last[0].line}"


def _keeps_code(words: str) -> bool:
    return bool(re.search(r"\$\?|exit \"?\$", words))


@rule("script-drops-arguments", "warning", "the script does not pass on its arguments")
def script_drops_arguments(facts: Facts) -> Hits:
    """What researchers vary from run to run never arrives."""
    end = ending(facts.shell) if facts.shell else None
    if end is None or facts.shell is None or _has_no_arguments(facts):
        return
    top = [s for s in facts.shell.statements if s.function is None]
    if not any(arguments_in(word) for s in top for command in s.commands for word in command.words):
        yield (
            facts.at(end.training.line),
            f'{end.training.shown}: nothing in the script uses its arguments; pass them on with "$@"',
        )


def _has_no_arguments(facts: Facts) -> bool:
    """Whether it is started without any; not so if it is not known how it is started."""
    if facts.spec is None or isinstance(facts.words, Unknown):
        return False
    program = [word for word in facts.words if not _SHELL.fullmatch(word)]
    return facts.whole and len(program) <= 1


@rule("script-splits-arguments", "warning", "the script takes arguments apart, or makes one of all")
def script_splits_arguments(facts: Facts) -> Hits:
    """``$@`` without quotes splits at blanks and expands stars; ``"$*"`` is one word."""
    for command in facts.shell.commands if facts.shell else ():
        assigns = not command.plain
        uses = {
            use
            for word in command.words
            for use in arguments_in(word)
            if not (assigns and "=(" in word)
        }
        wrong = {"bare", "joined", "quoted"} if assigns else {"bare", "joined"}
        if uses & wrong and (assigns or not is_quick(command)):
            yield (
                facts.at(command.line),
                'arguments with blanks or stars do not arrive as they were given; write "$@", with the quotes',
            )


@rule(
    "script-installs-nothing",
    "warning",
    "a requirements file lies beside the script, which installs nothing",
)
def script_installs_nothing(facts: Facts) -> Hits:
    """The container's disk is new after every preemption."""
    script, shell = facts.subject.script, facts.shell
    beside = [
        name for name in (script and script.neighbours) or () if _REQUIREMENTS.fullmatch(name)
    ]
    if not beside or shell is None or ending(shell) is None:
        return
    calls = [word for command in shell.commands for word in command.plain[:2]]
    if not any(installs(command) for command in shell.commands) and not any(
        map(_ELSEWHERE.fullmatch, calls)
    ):
        yield (
            facts.at(1),
            f"{beside[0]} lies beside it, but nothing is installed; unless the image has it all, add: "
            f"pip install -r {beside[0]}",
        )


RULES = (
    script_crlf,
    script_no_shebang,
    script_not_executable,
    script_hides_failure,
    script_drops_arguments,
    script_splits_arguments,
    script_installs_nothing,
)

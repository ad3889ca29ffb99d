"""Rules on the start-up script: whether it starts, passes arguments on and fails visibly."""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_runai.core.lint.commands import installs, is_quick
from airflow_runai.core.lint.ending import Ending, ending, inner_script, never_ends
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.lint.shell import Command, ShellScript, Statement
from airflow_runai.core.lint.shell_tokens import arguments_in
from airflow_runai.core.lint.traps import errexit_at

_SHELL = re.compile(r"(.*/)?(ba|da|k|z|a)?sh|env|tini|dumb-init")
_REQUIREMENTS = re.compile(
    r"(.*requirements.*\.txt|environment\.ya?ml|pyproject\.toml|setup\.py|Pipfile|uv\.lock)"
)
#: Other scripts, which may install.
_ELSEWHERE = re.compile(r".*\.(ba)?sh|make")
_PRINTS = ("echo", "printf")
_FORGIVES = ("true", ":", "echo")


def _kernel_starts(facts: Facts, name: str) -> bool:
    """Return whether the kernel starts the script of this name, rather than a shell."""
    # With another command, such as "sh NAME", a shell reads the script.
    program = facts.known_words[0] if facts.known_words else ""
    return facts.spec is None or _base_name(program) == _base_name(name)


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]


@rule("script-crlf", "error", "the script has Windows line ends")
def script_crlf(facts: Facts) -> Hits:
    r"""The kernel looks for an interpreter ``sh\r``; the shell sees ``\r`` in each last word."""
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
    if not script or not script.text or script.text.startswith("#!"):
        return
    if _kernel_starts(facts, script.name):
        bom = script.text.startswith("\ufeff#!")
        mistake = "an invisible mark (BOM) before #!" if bom else "no #! in the first line"
        yield (
            facts.at(1),
            f"{mistake}: 'exec format error'; "
            f"begin with #!/bin/sh, or set command to 'sh {script.name}'",
        )


@rule("script-not-executable", "error", "the script may not be executed")
def script_not_executable(facts: Facts) -> Hits:
    """Mode bits come from the storage; an image may differ."""
    script = facts.subject.script
    if not script or script.mode is None or script.mode & 0o111:
        return
    if _kernel_starts(facts, script.name):
        yield (
            facts.at(1),
            f"mode {script.mode & 0o777:04o}: 'permission denied'; "
            f"chmod +x, or command 'sh {script.name}'",
        )


@rule("script-hides-failure", "error", "the script ends with 0 though the training failed")
def script_hides_failure(facts: Facts) -> Hits:
    """Then the workload counts as completed, and nothing is retried."""
    end, script = facts.ending, facts.judged
    if end is None or script is None or end.replaces_shell or any(map(never_ends, end.after)):
        return
    reason = _hidden(script, end)
    if reason:
        yield (
            facts.at(end.training.line),
            f"{end.training.shown}: {reason}, so a failure looks like success",
        )


def _hidden(script: ShellScript, end: Ending) -> str | None:
    """Return what hides a failure of the training, in the script or in ``sh -c`` that it runs."""
    return (
        _hidden_in_inner_script(end)
        or _hidden_by_statement(script, end)
        or _hidden_afterwards(script, end)
    )


def _hidden_in_inner_script(end: Ending) -> str | None:
    inner = inner_script(end)
    within = ending(inner) if inner else None
    if inner is None or within is None or within.replaces_shell:
        return None
    return _hidden(inner, within)


def _hidden_by_statement(script: ShellScript, end: Ending) -> str | None:
    last = end.last.commands[-1]
    if last.name == "eval":
        last = end.commands[-1]
    # Wherever they stand: a script that knows of these means them.
    if last.piped and "pipefail" not in script.text and "PIPESTATUS" not in script.text:
        return "the exit code of a pipeline is that of its last part"
    return _forgiven(end.last)


def _forgiven(statement: Statement) -> str | None:
    """Return how a statement turns a failure into success."""
    last = statement.commands[-1]
    if statement.joiners[-1:] == ["||"] and (last.name in _FORGIVES or last.plain == ("exit", "0")):
        return f"|| {' '.join(last.plain[:1])} takes its exit code away"
    return None


def _hidden_afterwards(script: ShellScript, end: Ending) -> str | None:
    """Return what takes the exit code's place behind the training, or behind the wait for it."""
    if end.last.compound or any(statement.compound for statement in end.after):
        return None
    words = _words_after(end)
    if not end.background:
        return _overwritten(script, end.training, end.after, words)
    return _hidden_by_waits(script, end, words) if end.waits else None


def _hidden_by_waits(script: ShellScript, end: Ending, words: str) -> str | None:
    # Only "wait PID" has the exit code of what it waited for.
    if all(command.plain == ("wait",) for command in end.waits) and "exit" not in words:
        return "wait without a process id ends with 0"
    index = _index_of_last_wait(end)
    if index is not None and not _keeps_code(words):
        forgiven = _forgiven(end.after[index])
        if forgiven:
            return forgiven
    behind = end.after if index is None else end.after[index + 1 :]
    return _overwritten(script, end.waits[-1], behind, words)


def _index_of_last_wait(end: Ending) -> int | None:
    """Return which statement behind the training waits last; ``None`` if only its own one does."""
    for index in reversed(range(len(end.after))):
        if any(command.name == "wait" for command in end.after[index].commands):
            return index
    return None


def _words_after(end: Ending) -> str:
    """Return the words behind the training, apart from what is only printed."""
    commands = [command for statement in end.after for command in statement.commands]
    return " ".join(
        word for command in commands if command.name not in _PRINTS for word in command.words
    )


def _overwritten(
    script: ShellScript, decides: Command, behind: Sequence[Statement], words: str
) -> str | None:
    """Return the line whose exit code replaces that of ``decides``."""
    commands = [command for statement in behind for command in statement.commands]
    # A bare exit keeps the code of the command before it.
    others = [command for command in commands if command.plain != ("exit",)]
    if not others or _keeps_code(words) or errexit_at(script, decides):
        return None
    return f"the script ends with the exit code of line {others[-1].line}"


def _keeps_code(words: str) -> bool:
    return bool(re.search(r"\$\?|exit \"?\$", words))


@rule("script-drops-arguments", "warning", "the script does not pass on its arguments")
def script_drops_arguments(facts: Facts) -> Hits:
    """The values that researchers vary from run to run never arrive."""
    end = ending(facts.shell) if facts.shell else None
    if end is None or facts.shell is None or _has_no_arguments(facts):
        return
    words = (
        word
        for statement in facts.shell.statements
        if statement.function is None
        for command in statement.commands
        for word in command.words
    )
    if not any(map(arguments_in, words)):
        yield (
            facts.at(end.training.line),
            f"{end.training.shown}: nothing in the script uses its arguments; "
            'pass them on with "$@"',
        )


def _has_no_arguments(facts: Facts) -> bool:
    """Return whether it is known to be started without any."""
    if facts.spec is None or not facts.whole or isinstance(facts.words, Unknown):
        return False
    return len([word for word in facts.words if not _SHELL.fullmatch(word)]) <= 1


@rule("script-splits-arguments", "warning", "the script takes arguments apart, or makes one of all")
def script_splits_arguments(facts: Facts) -> Hits:
    """``$@`` without quotes splits at blanks and expands stars; ``"$*"`` is one word."""
    for command in facts.shell.commands if facts.shell else ():
        if _splits_arguments(command):
            yield (
                facts.at(command.line),
                "arguments with blanks or stars do not arrive as they were given; "
                'write "$@", with the quotes',
            )


def _splits_arguments(command: Command) -> bool:
    if command.plain:
        uses = set().union(*map(arguments_in, command.words))
        return not uses.isdisjoint({"bare", "joined"}) and not is_quick(command)
    # A variable cannot hold several arguments, unless it is an array: ARGS=("$@").
    uses = set().union(*(arguments_in(word) for word in command.words if "=(" not in word))
    return not uses.isdisjoint({"bare", "joined", "quoted"})


@rule(
    "script-installs-nothing",
    "warning",
    "a requirements file lies beside the script, which installs nothing",
)
def script_installs_nothing(facts: Facts) -> Hits:
    """The container's disk is new after every preemption."""
    script, shell = facts.subject.script, facts.shell
    if script is None or shell is None or ending(shell) is None:
        return
    requirements = list(filter(_REQUIREMENTS.fullmatch, script.neighbours or ()))
    if requirements and not any(map(_may_install, shell.commands)):
        yield (
            facts.at(1),
            f"{requirements[0]} lies beside it, but nothing is installed; "
            f"unless the image has it all, add: pip install -r {requirements[0]}",
        )


def _may_install(command: Command) -> bool:
    return installs(command) or any(map(_ELSEWHERE.fullmatch, command.plain[:2]))

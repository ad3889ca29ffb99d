"""
Rules on the start-up script: does it start, does SIGTERM reach the training, do its arguments, is its failure seen.

In a container the script is process 1. A shell that waits for a child keeps SIGTERM to itself, so that the training
is killed at the end of the grace period without having saved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from airflow_runai.core.lint.ending import Ending, Trap, ending, installs, is_quick, trap_of
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.rule import rule
from airflow_runai.core.lint.shell import Command
from airflow_runai.core.lint.shell_tokens import arguments_in
from airflow_runai.core.lint.subject import Script

Hits = Iterator[tuple[str, str]]

_SHELL = re.compile(r"(.*/)?(ba|da|k|z|a)?sh|env|tini|dumb-init")
_FORWARDERS = re.compile(r"(.*/)?(tini|dumb-init)")
_REQUIREMENTS = re.compile(r"(.*requirements.*\.txt|environment\.ya?ml|pyproject\.toml|setup\.py|Pipfile|uv\.lock)")
_ELSEWHERE = re.compile(r".*\.(ba)?sh|make")
_SAYS_ONLY = {"echo", "printf", "exit", "true", ":", "date", "logger", ""}


def _at(facts: Facts, line: int) -> str:
    return f"{facts.subject.script.name if facts.subject.script else 'script'}:{line}"


def _program_of(facts: Facts) -> str | None:
    """Return the first word that the container starts; ``None`` if it is not known or the image decides."""
    return facts.words[0] if not isinstance(facts.words, Unknown) and facts.words else None


def _is_started_directly(facts: Facts, script: Script) -> bool:
    """Whether the kernel starts the script, rather than a shell that is given its name."""
    return facts.spec is None or _name(_program_of(facts)) == _name(script.name)


def _name(path: str | None) -> str:
    return (path or "").rpartition("/")[2]


def _under_forwarder(facts: Facts) -> bool:
    return not isinstance(facts.words, Unknown) and any(_FORWARDERS.fullmatch(word) for word in facts.words)


def _ending(facts: Facts) -> Ending | None:
    return ending(facts.shell) if facts.shell and not _under_forwarder(facts) else None


def _trap(facts: Facts) -> Trap | None:
    return trap_of(facts.shell) if facts.shell else None


@rule("script-crlf", "error", "the script has Windows line ends")
def script_crlf(facts: Facts) -> Hits:
    r"""The kernel looks for an interpreter called ``sh\r``; the shell sees ``\r`` in every last word."""
    script = facts.subject.script
    if script and "\r\n" in script.text:
        line = script.text[: script.text.index("\r\n")].count("\n") + 1
        yield _at(facts, line), "Windows line ends (CRLF): no shell can run it; convert it, e.g. with dos2unix"


@rule("script-no-shebang", "error", "the script does not say what runs it")
def script_no_shebang(facts: Facts) -> Hits:
    """Started by the kernel, it ends in *exec format error*."""
    script = facts.subject.script
    if script and script.text and not script.text.startswith("#!") and _is_started_directly(facts, script):
        mark = "an invisible mark (BOM) before #!" if script.text.startswith("\ufeff#!") else "no #! in the first line"
        yield _at(facts, 1), f"{mark}: 'exec format error'; begin with #!/bin/sh, or set command to 'sh {script.name}'"


@rule("script-not-executable", "error", "the script may not be executed")
def script_not_executable(facts: Facts) -> Hits:
    """Mode bits come from the storage; an image may differ."""
    script = facts.subject.script
    if script and script.mode is not None and not script.mode & 0o111 and _is_started_directly(facts, script):
        yield (
            _at(facts, 1),
            f"mode {script.mode & 0o777:04o}: 'permission denied'; chmod +x, or command 'sh {script.name}'",
        )


@rule("script-no-exec", "error", "SIGTERM ends at the shell; the training is killed without having saved")
def script_no_exec(facts: Facts) -> Hits:
    """No ``exec``, and no trap that would tell the training."""
    end, trap = _ending(facts), _trap(facts)
    if end is None or end.replaces_shell or (trap and not trap.ignores and not _only_talks(trap)):
        return
    heard = "the trap tells the training nothing" if trap else "the shell waits for it and keeps SIGTERM to itself"
    if end.training.piped or end.last.piped:
        remedy = "in a pipeline exec does not help: redirect with exec > >(tee -a FILE) 2>&1, then exec the training"
    else:
        remedy = f'end with: exec {_name(end.training.plain[0])} … "$@"'
    yield _at(facts, end.training.line), f"{_shown(end.training)}: {heard}, until SIGKILL; {remedy}"


def _only_talks(trap: Trap) -> bool:
    return trap.commands is not None and all(command.name in _SAYS_ONLY for command in trap.commands)


def _shown(command: Command) -> str:
    program, *rest = command.plain
    return " ".join([_name(program), *(word for word in rest[:1] if not word.startswith("-"))])


@rule("script-ignores-sigterm", "warning", "the script switches SIGTERM off, and its children inherit that")
def script_ignores_sigterm(facts: Facts) -> Hits:
    """An ignored signal stays ignored through ``exec``, until a program installs a handler of its own."""
    trap = _trap(facts)
    if trap and trap.ignores:
        yield (
            _at(facts, trap.line),
            "trap '' TERM: children inherit it; who installs no handler of its own notices no preemption; leave it out",
        )


@rule("script-trap-waits", "error", "the trap runs only after the training has ended")
def script_trap_waits(facts: Facts) -> Hits:
    """A shell handles signals between commands, or in ``wait``."""
    end, trap = _ending(facts), _trap(facts)
    if end is None or trap is None or trap.ignores or _only_talks(trap):
        return
    if not (end.replaces_shell or end.background or end.last.compound or end.training.piped):
        yield (
            _at(facts, end.training.line),
            f"{_shown(end.training)} runs in the foreground: the trap of line {trap.line} comes after it has ended, "
            "that is never; end with exec, or start it with & and wait for it",
        )


@rule("script-trap-recurses", "error", "the trap signals the shell itself, and so starts again until it crashes")
def script_trap_recurses(facts: Facts) -> Hits:
    """``kill 0`` reaches the whole group; bash 5.2 and dash end in a segmentation fault after some thousand rounds."""
    trap = _trap(facts)
    for command in (trap.commands or ()) if trap else ():
        if command.name == "trap":
            return
        if command.name == "kill" and command.plain[-1] in ("0", "-$$") and trap:
            yield (
                _at(facts, trap.line),
                "kill 0 signals this shell, too, whose trap begins anew until it crashes; switch the signal off first: "
                "trap '' TERM; kill 0; wait",
            )
            return


@rule("script-leaves-early", "error", "the script ends while the training still saves")
def script_leaves_early(facts: Facts) -> Hits:
    """When process 1 ends, the container ends, and all that runs in it."""
    end, trap = _ending(facts), _trap(facts)
    if end is None or not end.background or any(statement.compound for statement in end.after):
        return
    where = _at(facts, end.training.line)
    if not end.waits:
        yield where, f"{_shown(end.training)} & and no wait: the container ends at once; wait for it"
    elif trap and trap.does("kill") and not trap.does("wait", "sleep", "tail") and len(end.waits) == 1:
        yield (
            where,
            f"the trap of line {trap.line} forwards SIGTERM, but then wait returns and the script ends before the "
            "training has saved; wait again, in the trap or after the first wait",
        )


@rule("script-hides-failure", "error", "the script ends with 0 though the training failed")
def script_hides_failure(facts: Facts) -> Hits:
    """Then the workload counts as completed, and nobody retries."""
    end = _ending(facts)
    if end is not None and not end.replaces_shell:
        reason = _hidden_by_statement(facts, end) or _hidden_afterwards(facts, end)
        if reason:
            yield _at(facts, end.training.line), f"{_shown(end.training)}: {reason}, so a failure looks like success"


def _hidden_by_statement(facts: Facts, end: Ending) -> str | None:
    text = facts.subject.script.text if facts.subject.script else ""
    if "pipefail" not in text and "PIPESTATUS" not in text and end.last.commands[-1].piped:
        return "the exit code of a pipeline is that of its last part"
    if end.last.joiners[-1:] == ["||"] and end.last.commands[-1].name in ("true", ":", "echo"):
        return f"|| {end.last.commands[-1].name} takes its exit code away"
    return None


def _hidden_afterwards(facts: Facts, end: Ending) -> str | None:
    if end.last.compound or any(statement.compound for statement in end.after):
        return None
    after = [command for statement in end.after for command in statement.commands]
    words = " ".join(word for command in after for word in command.words)
    if end.background:
        bare = bool(end.waits) and all(command.plain == ("wait",) for command in end.waits)
        return "wait without a process id ends with 0" if bare and "exit" not in words else None
    last = [command for command in after if command.plain != ("exit",)][-1:]
    if not last or _stops_at_errors(facts) or re.search(r"\$\?|exit \"?\$", words):
        return None
    return f"the script ends with the exit code of line {last[0].line}"


def _stops_at_errors(facts: Facts) -> bool:
    text = facts.subject.script.text if facts.subject.script else ""
    return bool(re.search(r"^#!.*sh\s+-\w*e|^\s*set\s+.*(-\w*e|errexit)", text, re.MULTILINE))


@rule("script-drops-arguments", "warning", "the script does not pass on its arguments")
def script_drops_arguments(facts: Facts) -> Hits:
    """What researchers vary from run to run never arrives."""
    end = ending(facts.shell) if facts.shell else None
    if end is None or facts.shell is None or _has_no_arguments(facts):
        return
    top = [s for s in facts.shell.statements if s.function is None]
    if not any(arguments_in(word) for s in top for command in s.commands for word in command.words):
        yield (
            _at(facts, end.training.line),
            f'{_shown(end.training)}: nothing in the script uses its arguments; pass them on with "$@"',
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
        uses = {use for word in command.words for use in arguments_in(word) if not (assigns and "=(" in word)}
        wrong = {"bare", "joined", "quoted"} if assigns else {"bare", "joined"}
        if uses & wrong and (assigns or not is_quick(command)):
            yield (
                _at(facts, command.line),
                'arguments with blanks or stars do not arrive as they were given; write "$@", with the quotes',
            )


@rule("script-installs-nothing", "warning", "a requirements file lies beside the script, which installs nothing")
def script_installs_nothing(facts: Facts) -> Hits:
    """The container's disk is new after every preemption."""
    script, shell = facts.subject.script, facts.shell
    beside = [name for name in (script and script.neighbours) or () if _REQUIREMENTS.fullmatch(name)]
    if not beside or shell is None or ending(shell) is None:
        return
    calls = [word for command in shell.commands for word in command.plain[:2]]
    if not any(installs(command) for command in shell.commands) and not any(map(_ELSEWHERE.fullmatch, calls)):
        yield (
            _at(facts, 1),
            f"{beside[0]} lies beside it, but nothing is installed; unless the image has it all, add: "
            f"pip install -r {beside[0]}",
        )


RULES = (
    script_crlf,
    script_no_shebang,
    script_not_executable,
    script_no_exec,
    script_ignores_sigterm,
    script_trap_waits,
    script_trap_recurses,
    script_leaves_early,
    script_hides_failure,
    script_drops_arguments,
    script_splits_arguments,
    script_installs_nothing,
)

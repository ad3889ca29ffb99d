"""
Rules on signals: does SIGTERM reach the training, does the script wait for it, does it ever end.

In a container the script is process 1. A shell that waits for a child keeps SIGTERM to itself, so
the training is killed at the end of the grace period without having saved.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.core.lint.ending import Ending, never_ends, reached, waits_for_ever
from airflow_runai.core.lint.facts import Facts
from airflow_runai.core.lint.launchers import swallows
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.lint.traps import EXIT, SIGTERM, Trap, errexit_at, trap_of

_SAYS_ONLY = {"echo", "printf", "exit", "true", ":", "date", "logger", ""}


@rule(
    "script-no-exec",
    "error",
    "SIGTERM ends at the shell; the training is killed without having saved",
)
def script_no_exec(facts: Facts) -> Hits:
    """No ``exec``, and no trap that would forward the signal."""
    end, trap = facts.ending, facts.trap
    if end is None or end.replaces_shell or (trap and not trap.ignores and not _only_talks(trap)):
        return
    if trap:
        reason = "the trap does not forward the signal"
    else:
        reason = "the shell waits for it and keeps SIGTERM to itself"
    if end.training.piped or end.last.piped:
        remedy = (
            "in a pipeline exec does not help: redirect with exec > >(tee -a FILE) 2>&1, "
            "then exec the training"
        )
    else:
        remedy = f'end with: exec {end.training.name} … "$@"'
    yield facts.at(end.training.line), f"{end.training.shown}: {reason}, until SIGKILL; {remedy}"


def _only_talks(trap: Trap) -> bool:
    return trap.commands is not None and all(
        command.name in _SAYS_ONLY for command in trap.commands
    )


@rule(
    "script-ignores-sigterm",
    "warning",
    "the script switches SIGTERM off, and its children inherit that",
)
def script_ignores_sigterm(facts: Facts) -> Hits:
    """An ignored signal stays ignored through ``exec``, unless a program installs a handler."""
    trap = facts.trap
    if trap and trap.ignores:
        yield (
            facts.at(trap.line),
            "trap '' TERM: children inherit it; a program without a handler of its own notices no "
            "preemption; leave it out",
        )


@rule("script-trap-waits", "error", "the trap runs only after the training has ended")
def script_trap_waits(facts: Facts) -> Hits:
    """A shell handles signals between commands, or in ``wait``."""
    end, trap = facts.ending, facts.trap
    if end is None or trap is None or trap.ignores or _only_talks(trap):
        return
    if not (end.replaces_shell or end.background or end.last.compound or end.training.piped):
        yield (
            facts.at(end.training.line),
            f"{end.training.shown} runs in the foreground: the trap of line {trap.line} runs only "
            "after it has ended; end with exec, or start it with & and wait for it",
        )


@rule(
    "script-trap-recurses",
    "error",
    "the trap signals the shell itself, and so starts again until it crashes",
)
def script_trap_recurses(facts: Facts) -> Hits:
    """``kill 0`` reaches the whole group; bash 5.2 and dash crash after some thousand rounds."""
    trap = facts.trap
    if trap is None:
        return
    for command in trap.commands or ():
        # It switches its own signal off before it sends one.
        if command.name == "trap":
            return
        if command.name == "kill" and command.plain[-1] in ("0", "-$$"):
            yield (
                facts.at(trap.line),
                "kill 0 signals this shell, too, whose trap begins anew until it crashes; switch "
                "the signal off first: trap '' TERM; kill 0; wait",
            )
            return


@rule(
    "script-trap-succeeds",
    "error",
    "the script ends with 0 at SIGTERM, as if the training were done",
)
def script_trap_succeeds(facts: Facts) -> Hits:
    """A preempted container that ends with 0 counts as completed, and is never resumed."""
    end = facts.ending
    if facts.judged is None or (end is not None and end.replaces_shell):
        return
    for signals in (SIGTERM, EXIT):
        trap = trap_of(facts.judged, signals)
        # Of several exits, another one may be taken.
        if trap and _exit_codes(trap) == {("0",)}:
            yield (
                facts.at(trap.line),
                "exit 0 in the trap turns a preemption into a success: the workload counts as "
                "completed and is never resumed; end with 143",
            )


def _exit_codes(trap: Trap) -> set[tuple[str, ...]]:
    return {command.plain[1:] for command in trap.commands or () if command.name == "exit"}


@rule("script-leaves-early", "error", "the script ends while the training still saves")
def script_leaves_early(facts: Facts) -> Hits:
    """When process 1 ends, the container ends, and every process in it."""
    end = facts.ending
    # Which branch is taken, and so what is waited for, is not known.
    if end is None or not end.background or any(statement.compound for statement in end.after):
        return
    if end.waits:
        yield from _leaves_after_signal(facts, end)
    elif not any(map(never_ends, end.after)):
        yield (
            facts.at(end.training.line),
            f"{end.training.shown} & and no wait: the container ends at once; wait for it",
        )


def _leaves_after_signal(facts: Facts, end: Ending) -> Hits:
    trap = facts.trap
    # A trap that waits, or sleeps, gives the training its time.
    if trap is None or not trap.does("kill") or trap.does("wait", "sleep", "tail"):
        return
    result = _after_first_wait(facts, end, trap)
    if result:
        yield (
            facts.at(end.training.line),
            f"the trap of line {trap.line} forwards SIGTERM, but then wait returns and {result} "
            "before the training has saved; wait again, in the trap or after the first wait",
        )


def _after_first_wait(facts: Facts, end: Ending, trap: Trap) -> str | None:
    """Return how the script ends when a signal interrupts ``wait``; ``None`` if it waits again."""
    if len(end.waits) == 1:
        return "the script ends"
    first = end.waits[0]
    if any(first in statement.commands and statement.joiners for statement in end.after):
        return None  # such as: wait $PID || true
    if facts.judged and errexit_at(facts.judged, first) and not trap.does("set"):
        return "set -e ends the script, because that wait returned 143,"
    return None


@rule(
    "script-launcher-swallows-sigterm",
    "warning",
    "the training is started by a program that keeps SIGTERM to itself",
)
def script_launcher_swallows_sigterm(facts: Facts) -> Hits:
    """It waits for the training as a shell does, and is process 1 in its place."""
    words, where = _started(facts)
    launcher = swallows(words, _gpus(facts))
    if launcher:
        yield (
            where,
            f"{launcher.name} does not pass SIGTERM on, so the training saves nothing; "
            f"{launcher.instead}",
        )


def _started(facts: Facts) -> tuple[Sequence[str], str]:
    """Return the words that start the training, and their place: the script or the command."""
    if facts.ending:
        return facts.ending.training.plain, facts.at(facts.ending.training.line)
    if facts.shell is None and facts.text("command") is not None:
        return facts.known_words, "spec.command"
    return (), "spec.command"


def _gpus(facts: Facts) -> float | None:
    devices = facts.known_part("compute").get("gpu_devices")
    return float(devices) if isinstance(devices, (int, float)) else None


@rule(
    "script-never-ends",
    "error",
    "the script goes on after the training has ended, and keeps its GPUs",
)
def script_never_ends(facts: Facts) -> Hits:
    """Until a person notices: nothing fails, and nothing is completed."""
    if facts.judged is None:
        return
    body = reached(facts.judged)
    for statement in body:
        command = never_ends(statement)
        if command:
            yield facts.at(command.line), _why_never_ends(statement.forever, command.name)
            return
    wait = waits_for_ever(body)
    if wait:
        yield (
            facts.at(wait.line),
            "wait without a process id also waits for what runs beside the training and never "
            "ends, so the GPUs are kept; wait for the training's own id",
        )


def _why_never_ends(is_loop: bool, name: str) -> str:
    if is_loop:
        return (
            "the loop never ends: it goes on when the training has ended, and the workload is "
            "never completed; end with exec, as Run:ai itself restarts what failed (backoff_limit)"
        )
    return (
        f"{name} never ends, so the GPUs are kept when the training has ended; wait for the "
        "training instead"
    )

"""
Rules on signals: does SIGTERM reach the training, does the script wait for it, does it ever end.

In a container the script is process 1. A shell that waits for a child keeps SIGTERM to itself, so
that the training is killed at the end of the grace period without having saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_runai.core.lint.ending import (
    Ending,
    Trap,
    errexit_at,
    never_ends,
    reached,
    trap_of,
    waits_for_ever,
)
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.launchers import swallows
from airflow_runai.core.lint.rule import rule

Hits = Iterator[tuple[str, str]]

_TERM, _EXIT = frozenset({"TERM", "SIGTERM", "15"}), frozenset({"EXIT", "0"})
_SAYS_ONLY = {"echo", "printf", "exit", "true", ":", "date", "logger", ""}


@rule(
    "script-no-exec",
    "error",
    "SIGTERM ends at the shell; the training is killed without having saved",
)
def script_no_exec(facts: Facts) -> Hits:
    """No ``exec``, and no trap that would tell the training."""
    end, trap = facts.ending, facts.trap
    if end is None or end.replaces_shell or (trap and not trap.ignores and not _only_talks(trap)):
        return
    heard = (
        "the trap tells the training nothing"
        if trap
        else "the shell waits for it and keeps SIGTERM to itself"
    )
    if end.training.piped or end.last.piped:
        remedy = "in a pipeline exec does not help: redirect with exec > >(tee -a FILE) 2>&1, then exec the training"
    else:
        remedy = f'end with: exec {end.training.name} … "$@"'
    yield facts.at(end.training.line), f"{end.training.shown}: {heard}, until SIGKILL; {remedy}"


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
    """
    An ignored signal stays ignored through ``exec``, until a program installs a handler of its own.
    """
    trap = facts.trap
    if trap and trap.ignores:
        yield (
            facts.at(trap.line),
            "trap '' TERM: children inherit it; who installs no handler of its own notices no preemption; leave it out",
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
            f"{end.training.shown} runs in the foreground: the trap of line {trap.line} comes after it has ended, "
            "that is never; end with exec, or start it with & and wait for it",
        )


@rule(
    "script-trap-recurses",
    "error",
    "the trap signals the shell itself, and so starts again until it crashes",
)
def script_trap_recurses(facts: Facts) -> Hits:
    """``kill 0`` reaches the whole group; bash 5.2 and dash end in a segmentation fault after some thousand rounds."""
    trap = facts.trap
    for command in (trap.commands or ()) if trap else ():
        if command.name == "trap":
            return
        if command.name == "kill" and command.plain[-1] in ("0", "-$$") and trap:
            yield (
                facts.at(trap.line),
                "kill 0 signals this shell, too, whose trap begins anew until it crashes; switch the signal off first: "
                "trap '' TERM; kill 0; wait",
            )
            return


@rule("script-leaves-early", "error", "the script ends while the training still saves")
def script_leaves_early(facts: Facts) -> Hits:
    """When process 1 ends, the container ends, and all that runs in it."""
    end, trap = facts.ending, facts.trap
    if end is None or not end.background or any(statement.compound for statement in end.after):
        return
    where = facts.at(end.training.line)
    if not end.waits:
        if not any(map(never_ends, end.after)):
            yield (
                where,
                f"{end.training.shown} & and no wait: the container ends at once; wait for it",
            )
    elif trap and trap.does("kill") and not trap.does("wait", "sleep", "tail"):
        early = _comes_to_its_end(facts, end, trap)
        if early:
            yield (
                where,
                f"the trap of line {trap.line} forwards SIGTERM, but then wait returns and {early} before the training "
                "has saved; wait again, in the trap or after the first wait",
            )


def _comes_to_its_end(facts: Facts, end: Ending, trap: Trap) -> str | None:
    """Say how the script ends after the first ``wait`` that a signal interrupts; ``None`` if it waits again."""
    if len(end.waits) == 1:
        return "the script ends"
    guarded = any(
        end.waits[0] in statement.commands and statement.joiners for statement in end.after
    )
    if (
        not guarded
        and facts.judged
        and errexit_at(facts.judged, end.waits[0])
        and not trap.does("set")
    ):
        return "set -e ends the script, for that wait returned 143,"
    return None


@rule(
    "script-trap-succeeds",
    "error",
    "the script ends with 0 when it is told to stop, as if the training were done",
)
def script_trap_succeeds(facts: Facts) -> Hits:
    """On Kubernetes and on Run:ai a preempted container that ends with 0 is completed, and never resumed."""
    end = facts.ending
    if facts.judged is None or (end is not None and end.replaces_shell):
        return
    for signals in (_TERM, _EXIT):
        trap = trap_of(facts.judged, signals)
        exits = (
            [command.plain[1:] for command in (trap.commands or ()) if command.name == "exit"]
            if trap
            else []
        )
        if trap and exits and set(exits) == {("0",)}:
            yield (
                facts.at(trap.line),
                "exit 0 in the trap turns a preemption into a success: the workload counts as completed and is never "
                "resumed; end with 143",
            )


@rule(
    "script-launcher-swallows-sigterm",
    "warning",
    "the training is started by a program that keeps SIGTERM to itself",
)
def script_launcher_swallows_sigterm(facts: Facts) -> Hits:
    """It waits for the training as a shell does, and is process 1 in its place."""
    words, where = _started(facts)
    found = swallows(words, _gpus(facts))
    if found:
        yield (
            where,
            f"{found.name} does not pass SIGTERM on, so the training saves nothing; {found.instead}",
        )


def _started(facts: Facts) -> tuple[Sequence[str], str]:
    """Return what starts the training, and where that stands: in the script, or in the command if there is none."""
    if facts.ending:
        return facts.ending.training.plain, facts.at(facts.ending.training.line)
    alone = (
        facts.shell is None
        and not isinstance(facts.words, Unknown)
        and facts.text("command") is not None
    )
    return (facts.words if alone and not isinstance(facts.words, Unknown) else ()), "spec.command"


def _gpus(facts: Facts) -> float | None:
    compute = facts.part("compute")
    found = compute.get("gpu_devices") if compute and not isinstance(compute, Unknown) else None
    return float(found) if isinstance(found, (int, float)) else None


@rule(
    "script-never-ends",
    "error",
    "the script goes on after the training has ended, and keeps its GPUs",
)
def script_never_ends(facts: Facts) -> Hits:
    """Until somebody notices: nothing fails, and nothing is completed."""
    for statement in reached(facts.judged) if facts.judged else ():
        command = never_ends(statement)
        if command and statement.forever:
            yield (
                facts.at(command.line),
                "the loop never ends: it goes on when the training has ended, and the workload is never completed; end "
                "with exec, as Run:ai itself restarts what failed (backoff_limit)",
            )
        elif command:
            yield (
                facts.at(command.line),
                f"{command.name} never ends, so the GPUs are kept when the training has ended; wait for the training "
                "instead",
            )
        if command:
            return
    command = waits_for_ever(reached(facts.judged)) if facts.judged else None
    if command:
        yield (
            facts.at(command.line),
            "wait without a process id also waits for what runs beside the training and never ends, so the GPUs are "
            "kept; wait for the training's own id",
        )


RULES = (
    script_no_exec,
    script_ignores_sigterm,
    script_trap_waits,
    script_trap_recurses,
    script_trap_succeeds,
    script_leaves_early,
    script_launcher_swallows_sigterm,
    script_never_ends,
)

"""Rules on the platform's part: kinds of workloads, their ends, images, endless commands."""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_runai.core.jinja import is_templated
from airflow_runai.core.lint.facts import Facts
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.texts import cut

#: Seconds that an ended workload should be kept, to outlast an outage of the control plane.
MIN_DELETION = 600
#: Before 2.24 the priority decides; classes of 100 and more, and the old names for them.
_NOT_PREEMPTED = {"high", "very-high", "build", "inference"}
_TERMINAL_FLAGS = re.compile(r"--(attach|stdin|tty)\b|-t\b")
_ENDLESS = re.compile(
    r"(.*/)?(jupyter(-lab|-notebook)?|code-server|tensorboard|sleep (infinity|inf)|"
    r"tail -f /dev/null)\b.*"
)
_SHELL_ALONE = re.compile(r"(/\S*/)?(ba|z|da)?sh( -[il])?")
_IN_A_SHELL = re.compile(r"(.*/)?((ba|da|k|z|a)?sh|env|tini|dumb-init|nohup)")
_NEEDS_SHELL = {"&&", "||", "|", ";", ">", ">>", "2>&1", "<", "&"}


@rule("terminate-after-preemption", "error", "the first preemption is the end of the workload")
def terminate_after_preemption(facts: Facts) -> Hits:
    """Each preemption then costs an Airflow retry, or the run."""
    if facts.switch("terminate_after_preemption") is True:
        yield (
            "spec.terminate_after_preemption",
            "true: a preemption ends it instead of putting it back in the queue, so each costs a "
            "retry; leave it out",
        )


@rule(
    "not-preemptible", "info", "it is not preemptible, so it runs within the project's quota only"
)
def not_preemptible(facts: Facts) -> Hits:
    """A choice with a price: it does not use idle GPUs of others."""
    if facts.preemptible is False:
        yield (
            "spec.preemptibility",
            "'non-preemptible': it never uses idle GPUs beyond the quota, and waits for its own; "
            "leave it out unless it cannot be interrupted",
        )


@rule(
    "priority-not-preemptible",
    "info",
    "the priority makes it non-preemptible on servers before 2.24",
)
def priority_not_preemptible(facts: Facts) -> Hits:
    """They do not know ``preemptibility`` and go by the priority."""
    priority = facts.text("priority")
    if priority in _NOT_PREEMPTED and facts.preemptible is True:
        yield (
            "spec.priority",
            f"{priority!r}: a server before 2.24 goes by it and takes the workload for "
            "non-preemptible; take 'medium-high' or lower there",
        )


@rule("interactive-flag", "warning", "a setting that only a person at a terminal needs")
def interactive_flag(facts: Facts) -> Hits:
    """No one sits there; a program that asks waits for ever."""
    raw = facts.spec.get("raw") if facts.spec else None
    for name in ("tty", "stdin"):
        # The specification has no keys of its own for these.
        if isinstance(raw, Mapping) and raw.get(name) is True:
            yield (
                f"spec.raw.{name}",
                "true: no one sits at a terminal; a program that asks would wait for ever; leave "
                "it out",
            )
    for warning in facts.subject.warnings:
        if _TERMINAL_FLAGS.match(warning):
            yield "command_line", f"{warning}; leave it out, and see that nothing asks"


@rule(
    "command-line-differs",
    "info",
    "a flag of the command line was left out, or is read in an unexpected way",
)
def command_line_differs(facts: Facts) -> Hits:
    """The warnings of the command line parser."""
    for warning in facts.subject.warnings:
        if not _TERMINAL_FLAGS.match(warning):
            yield "command_line", warning


@rule("endless-command", "error", "the command never ends by itself")
def endless_command(facts: Facts) -> Hits:
    """A notebook or a shell left open holds its GPUs until a person notices."""
    words = facts.known_words
    if not words:
        return
    line = " ".join(words)
    # An option may hold a secret.
    shown = " ".join(words[:1] if words[-1].startswith("-") else words[:2])
    # A template beneath may bring the arguments: the script that the shell reads.
    if facts.whole and _SHELL_ALONE.fullmatch(line):
        end = "ends at once, as no one types"
    elif _ENDLESS.fullmatch(line):
        end = "never ends by itself, and keeps its GPUs"
    else:
        return
    yield "spec.command", f"{cut(shown, 80)!r} {end}; start the training itself"


@rule("command-needs-shell", "error", "the command is written for a shell, but none reads it")
def command_needs_shell(facts: Facts) -> Hits:
    """``&&`` then is an argument of the first program."""
    words = facts.known_words
    # Arguments alone go to the image's entry point, which may be a shell.
    if not words or _IN_A_SHELL.fullmatch(words[0]) or facts.text("command") is None:
        return
    syntax = [";" if word.endswith(";") else word for word in words if _is_syntax(word)]
    if words[0] in ("cd", "source", "export", "."):
        syntax.append(words[0])
    if syntax:
        yield (
            "spec.command",
            f"{syntax[0]!r} means something to a shell only, and none reads it; write it into a "
            "script, or command: bash, args: -c '…'",
        )


def _is_syntax(word: str) -> bool:
    return word in _NEEDS_SHELL or word.endswith(";")


@rule("restart-always", "error", "the pods are started again after a success as well")
def restart_always(facts: Facts) -> Hits:
    """So it never completes."""
    if facts.text("restart_policy") == "Always":
        yield (
            "spec.restart_policy",
            "'Always' also restarts what succeeded, so it never ends; take 'OnFailure' or 'Never'",
        )


@rule(
    "deleted-before-seen",
    "warning",
    "an ended workload is deleted so soon that its end may be missed",
)
def deleted_before_seen(facts: Facts) -> Hits:
    """Then a success looks like a disappearance."""
    seconds = facts.number("auto_deletion")
    if isinstance(seconds, int) and seconds < MIN_DELETION:
        yield (
            "spec.auto_deletion",
            f"{seconds} s: an outage or a restart of Airflow may last longer, and then its success "
            f"is not seen; set at least {MIN_DELETION}, better a day",
        )


@rule("image-moves", "info", "the image may be another one after a preemption")
def image_moves(facts: Facts) -> Hits:
    """No tag, or ``latest``: each start pulls what is there by then."""
    image = facts.text("image")
    # A digest (@) never moves.
    if not isinstance(image, str) or is_templated(image) or "@" in image:
        return
    # A colon before the last slash begins the registry's port.
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        yield (
            "spec.image",
            f"{cut(image, 80)!r} can change between a start and the next one; name a version or a "
            "digest",
        )


@rule("image-on-one-node", "warning", "the image is never pulled, so it is missing on other nodes")
def image_on_one_node(facts: Facts) -> Hits:
    """After a preemption it may be another node."""
    if facts.text("image_pull_policy") == "Never":
        yield (
            "spec.image_pull_policy",
            "'Never': on a node without the image it does not start; take 'IfNotPresent'",
        )

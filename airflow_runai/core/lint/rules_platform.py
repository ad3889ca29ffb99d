"""Rules on what the platform does with a workload: kinds, ends, images, and commands that never come to one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_runai.core.jinja import is_templated
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.texts import cut

#: Shorter than this, an ended workload may be gone before an outage of the control plane is over.
#: Seconds.
SHORTEST_DELETION = 600
#: Before 2.24 the priority decides; classes of 100 and more, and the old names for them.
_NOT_PREEMPTED = {"high", "very-high", "build", "inference"}
_TERMINAL_FLAGS = re.compile(r"--(attach|stdin|tty)\b|-t\b")
_ENDLESS = re.compile(
    r"(.*/)?(jupyter(-lab|-notebook)?|code-server|tensorboard|sleep (infinity|inf)|tail -f /dev/null)\b.*"
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
    """A choice that should be known: it does not use idle GPUs of others."""
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


@rule("interactive-flag", "warning", "something that only a person at a terminal needs")
def interactive_flag(facts: Facts) -> Hits:
    """Nobody sits there; a program that asks waits for ever."""
    raw = facts.spec.get("raw") if facts.spec else None
    for name in ("tty", "stdin"):
        if isinstance(raw, Mapping) and raw.get(name) is True:
            yield (
                f"spec.raw.{name}",
                "true: nobody sits at a terminal; a program that asks would wait for ever; leave "
                "it out",
            )
    for warning in facts.subject.warnings:
        if _TERMINAL_FLAGS.match(warning):
            yield "command_line", f"{warning}; leave it out, and see that nothing asks"


@rule(
    "command-line-differs",
    "info",
    "a flag of the command line was left out or is read in a way to know",
)
def command_line_differs(facts: Facts) -> Hits:
    """The words of the reader of command lines."""
    for warning in facts.subject.warnings:
        if not _TERMINAL_FLAGS.match(warning):
            yield "command_line", warning


@rule("endless-command", "error", "the command never ends by itself")
def endless_command(facts: Facts) -> Hits:
    """A notebook or a shell left open holds its GPUs until somebody notices."""
    if isinstance(facts.words, Unknown) or not facts.words:
        return
    line = " ".join(facts.words)
    shown = " ".join(facts.words[:2] if not facts.words[-1].startswith("-") else facts.words[:1])
    alone = facts.whole and _SHELL_ALONE.fullmatch(line)
    if alone or _ENDLESS.fullmatch(line):
        ends = (
            "ends at once, as nobody types" if alone else "never ends by itself, and keeps its GPUs"
        )
        yield "spec.command", f"{cut(shown, 80)!r} {ends}; start the training itself"


@rule("command-needs-shell", "error", "the command is written for a shell, but none reads it")
def command_needs_shell(facts: Facts) -> Hits:
    """``&&`` then is an argument of the first program."""
    words = facts.words
    if (
        isinstance(words, Unknown)
        or not words
        or _IN_A_SHELL.fullmatch(words[0])
        or facts.text("command") is None
    ):
        return
    found = [
        word if word in _NEEDS_SHELL else ";"
        for word in words
        if word in _NEEDS_SHELL or word.endswith(";")
    ]
    if words[0] in ("cd", "source", "export", ".") or found:
        odd = found[0] if found else words[0]
        yield (
            "spec.command",
            f"{odd!r} means something to a shell only, and none reads it; write it into a script, "
            "or command: bash, args: -c '…'",
        )


@rule("restart-always", "error", "the pods are started again after a success, too")
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
    """Then success cannot be told from disappearance."""
    seconds = facts.number("auto_deletion")
    if isinstance(seconds, int) and seconds < SHORTEST_DELETION:
        yield (
            "spec.auto_deletion",
            f"{seconds} s: an outage or a restart of Airflow may last longer, and then its success "
            f"is not seen; set at least {SHORTEST_DELETION}, better a day",
        )


@rule("image-moves", "info", "the image may be another one after a preemption")
def image_moves(facts: Facts) -> Hits:
    """No tag, or ``latest``: each start pulls what is there by then."""
    image = facts.text("image")
    if not isinstance(image, str) or is_templated(image) or "@" in image:
        return
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

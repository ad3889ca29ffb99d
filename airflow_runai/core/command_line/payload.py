"""The words for the container: in flags, behind a bare ``--``, or as a text for the master."""

from __future__ import annotations

import contextlib
import shlex

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.line import Words
from airflow_runai.core.command_line.scan import Scan
from airflow_runai.core.command_line.verbs import Verb


def command(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Settle command and arguments; words after ``--`` win over ``--args``, as in CLI v1."""
    words, args = scan.values("command"), scan.values("args")
    draft.words = _words_of_line(words, args, scan)
    if scan.payload is not None:
        words, args = _payload(draft, scan.payload, is_command=words[-1:] == ["true"])
    elif not verb.old:
        words = _refuse_lone_flag(draft)
    # --command takes one word each time, so a quoted "python train.py" is the name of a program.
    elif any(" " in word for word in words):
        draft.warnings.append(
            "--command: one word for the container, though it has blanks; write -- before words"
        )
    if words:
        draft.put("command", shlex.join(words))
    if args:
        draft.put("args", shlex.join(args))


def _refuse_lone_flag(draft: Draft) -> list[str]:
    """Return no words: in CLI v2 ``--command`` says only that those after ``--`` are it."""
    if "command" in draft.flags:
        draft.problems.append(
            "--command: is boolean here and nothing follows --; allowed: --command -- WORDS"
        )
    return []


def _payload(draft: Draft, payload: list[str], *, is_command: bool) -> tuple[list[str], list[str]]:
    """Return command and arguments of a line with a bare ``--``."""
    if is_command and not payload:
        draft.problems.append("--command: no words follow --; allowed: --command -- WORDS")
    if "args" in draft.flags:
        draft.warnings.append("--args: not used, because the words after -- win")
    return (payload, []) if is_command else ([], payload)


def _words_of_line(words: list[str], args: list[str], scan: Scan) -> Words | None:
    """Return how the line's words replace those of a template."""
    if scan.payload:
        if not words:
            return "either"
        return "command" if words[-1] == "true" else "args"
    return "flags" if scan.payload is None and (words or args) else None


def all_words(draft: Draft, scan: Scan) -> list[str]:
    """Return the words for all containers."""
    words = list(scan.payload or [*scan.values("command"), *scan.values("args")])
    for key in ("command", "args"):
        # `quotes` reports a text that cannot be split.
        with contextlib.suppress(ValueError):
            words += shlex.split(draft.get(f"distributed.master.{key}", ""))
    return words


def quotes(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Warn of texts for the master that cannot be split into words."""
    for key in ("command", "args"):
        try:
            shlex.split(draft.get(f"distributed.master.{key}", ""))
        except ValueError:
            draft.warnings.append(
                f"--master-{key}: a quote is not closed; what becomes of it is up to the server"
            )

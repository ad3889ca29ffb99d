"""
From one command line to a :class:`ParsedCommand`; the only file here that knows the whole way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_runai.core.command_line import verbs, words
from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import Disposition, Takes
from airflow_runai.core.command_line.grammar import elsewhere, flags_for
from airflow_runai.core.command_line.line import Line, alone
from airflow_runai.core.command_line.rows_master import MASTER
from airflow_runai.core.command_line.rules import RULES
from airflow_runai.core.command_line.scan import Given, Scan, scan
from airflow_runai.core.secrets import in_value
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError

#: They decide what other flags mean, wherever they stand.
_FIRST = ("nfs-server",)


#: Their values are free texts, in which <pad> may be meant.
_FREE = {
    "environment",
    "e",
    "command",
    "args",
    "annotation",
    "label",
    *(flag.names[0] for flag in MASTER),
}


@dataclass(frozen=True)
class ParsedCommand:
    """
    What a command line says.

    :param spec: plain mapping for :meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping`,
        already checked. If a template is named, without what that may say: an image, and the
        command line's own defaults.
    :param name: name of the workload, if it has one.
    :param name_prefix: what a generated name would begin with.
    :param project: Run:ai project, if named.
    :param template: name of a template, if named; its content is not part of ``spec``.
    :param warnings: sentences about what was left out or read in a way that should be known.
    :param line: the same, to be laid over a template.
    """

    spec: dict[str, Any]
    name: str | None
    name_prefix: str | None
    project: str | None
    template: str | None
    kind: Literal["training", "distributed"]
    warnings: tuple[str, ...] = ()
    line: Line = field(default_factory=Line, compare=False)

    def workload(self) -> WorkloadSpec:
        """
        Return the checked specification; :class:`SpecError` if only the template knows the image.
        """
        return WorkloadSpec.from_mapping(self.spec)


def parse_command(line: str | Sequence[str]) -> ParsedCommand:
    """
    Read a ``runai`` command line of CLI v1 or v2 that submits a training.

    :param line: text as it would be typed or was copied, or a list of words, which is taken as it
        is.
    :raises SpecError: with every mistake; each names the flag, what was found, what is allowed and
        what to do.
    """
    found = words.split(line) if isinstance(line, str) else words.Words(_as_words(line), [], [])
    try:
        verb, rest = verbs.find(found.words)
    except SpecError as error:
        raise SpecError([*found.problems, *error.problems]) from None
    scanned = scan(rest, flags_for(verb, rest), elsewhere(old=verb.old))
    draft = Draft(warnings=found.warnings, problems=scanned.problems, unfilled=bool(found.problems))
    _apply(draft, scanned)
    for rule in RULES:
        rule(draft, verb, scanned)
    if found.problems or draft.problems:
        raise SpecError([*found.problems, *draft.problems, *_typographic(found, draft)])
    spec = alone(draft.line(), templated="template" in draft.told)
    _check(spec)
    told = {key: draft.told.get(key) for key in ("name", "name_prefix", "project", "template")}
    kind: Literal["training", "distributed"] = (
        "distributed" if "distributed" in spec else "training"
    )
    return ParsedCommand(
        spec=spec, kind=kind, warnings=tuple(draft.warnings), line=draft.line(), **told
    )


def _typographic(found: words.Words, draft: Draft) -> list[str]:
    """Repeat what is said about odd quotes where something is wrong: they are the likely reason."""
    return (
        [warning for warning in found.warnings if warning.startswith(words.ODD_QUOTES)]
        if draft.problems
        else []
    )


def _as_words(line: Sequence[str]) -> list[str]:
    if not isinstance(line, (list, tuple)) or not all(isinstance(word, str) for word in line):
        raise SpecError(
            [f"command line: a {type(line).__name__}; allowed: one text, or a list of texts"]
        )
    if not line:
        raise SpecError(
            ["command line: empty; allowed: one command such as 'runai submit train1 -i IMAGE …'"]
        )
    return list(line)


def _apply(draft: Draft, scanned: Scan) -> None:
    draft.given = {given.flag.names[0] for given in scanned.given}
    times = Counter(
        given.flag.names[0] for given in scanned.given if given.flag.takes is not Takes.MANY
    )
    last = {given.flag.names[0]: given for given in scanned.given}
    counted = [g for g in scanned.given if g.flag.takes is Takes.MANY or g is last[g.flag.names[0]]]
    for given in sorted(counted, key=lambda given: given.flag.names[0] not in _FIRST):
        draft.at = given.shown
        if given.flag.names[0] == "template" and given.shown == "-t":
            draft.warn(f"read as --template {given.value}, as until mid-2020; a terminal is --tty")
        _bundled(draft, given)
        _apply_one(draft, given)
    draft.at = ""
    for name, n in times.items():
        if n > 1:
            # An image may be no image: "-it" gives the one called "t".
            which = f": {last[name].value!r}" if name == "image" else ""
            draft.warnings.append(f"--{name}: given {n} times; the last one counts{which}")


def _bundled(draft: Draft, given: Given) -> None:
    if (given.shown, given.value) == ("-i", "t"):
        draft.warn(
            "read as the image 't'; -it is for a terminal, and nobody sits there: leave it out"
        )


def _apply_one(draft: Draft, given: Given) -> None:
    if given.value == "false" and given.flag.landing.fate in (
        Disposition.IDLE,
        Disposition.REFUSED,
    ):
        return
    unfilled = [] if given.flag.names[0] in _FREE else words.placeholders(given.value)
    if unfilled:
        if not draft.unfilled:  # else each was named with its place
            draft.problems += [f"{given.shown}: {words.unfilled(one)}" for one in unfilled]
        return
    try:
        given.flag.landing.apply(draft, given.value)
    except ValueError as error:
        told = str(error).removeprefix("[0]").lstrip(".")
        if in_value(given.value) and "not shown" not in told:
            told = f"cannot be read, and carries a password or token (not shown); allowed: {given.flag.doc}"
        draft.problems.append(f"{given.shown}: {told}")


def _check(spec: dict[str, Any]) -> None:
    """Let the specification have the last word; a template's image is not known here."""
    WorkloadSpec.from_mapping({"image": "of-the-template", **spec})

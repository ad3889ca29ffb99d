"""From one command line to a :class:`ParsedCommand`; the only module here that knows all steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from airflow_runai.core.command_line import verbs, words
from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import Disposition, Takes
from airflow_runai.core.command_line.grammar import elsewhere, flags_for
from airflow_runai.core.command_line.line import Line, alone
from airflow_runai.core.command_line.rules import RULES
from airflow_runai.core.command_line.scan import Occurrence, scan
from airflow_runai.core.command_line.table_master import MASTER
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.secrets import in_value
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError

#: They decide what other flags mean, wherever they stand.
_FIRST = ("nfs-server",)
#: Their values are free texts, in which <pad> may be meant.
_FREE = {"environment", "e", "command", "args", "annotation", "label"} | {
    flag.name for flag in MASTER
}


@dataclass(frozen=True)
class ParsedCommand:
    """
    The result of reading a command line.

    :param spec: plain mapping for :meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping`,
        already checked. If a template is named, the keys that it may set are left out: the image,
        and the command line's own defaults.
    :param name: name of the workload, if it has one.
    :param name_prefix: beginning of a generated name.
    :param project: Run:ai project, if named.
    :param template: name of a template, if named; its content is not part of ``spec``.
    :param warnings: sentences about what was left out, or read in an unexpected way.
    :param line: the same, to be laid over a template.
    """

    spec: JsonObject
    name: str | None
    name_prefix: str | None
    project: str | None
    template: str | None
    kind: Literal["training", "distributed"]
    warnings: tuple[str, ...] = ()
    line: Line = field(default_factory=Line, compare=False)

    def workload(self) -> WorkloadSpec:
        """Return the checked specification; :class:`SpecError` if only a template has the image."""
        return WorkloadSpec.from_mapping(self.spec)


def parse_command(line: str | Sequence[str]) -> ParsedCommand:
    """
    Read a ``runai`` command line of CLI v1 or v2 that submits a training.

    :param line: text as it would be typed or was copied, or a list of words, which is taken as is.
    :raises SpecError: with every mistake; each names the flag, the value, what is allowed and what
        to do.
    """
    split = words.split(line) if isinstance(line, str) else _as_words(line)
    draft = _draft(split)
    if split.problems or draft.problems:
        raise SpecError([*split.problems, *draft.problems, *_odd_quotes(split, draft)])
    return _parsed(draft)


def _draft(split: words.SplitLine) -> Draft:
    """Apply each flag by itself, then the rules about all of them."""
    try:
        verb, rest = verbs.find(split.words)
    except SpecError as error:
        raise SpecError([*split.problems, *error.problems]) from None
    scanned = scan(rest, flags_for(verb, rest), elsewhere(old=verb.old))
    draft = Draft(
        warnings=split.warnings,
        problems=scanned.problems,
        placeholders_named=bool(split.problems),
    )
    _apply(draft, scanned.occurrences)
    for rule in RULES:
        rule(draft, verb, scanned)
    return draft


def _parsed(draft: Draft) -> ParsedCommand:
    spec = alone(draft.line(), templated=draft.has_template)
    # The specification itself has the last word; a template's image is not known here.
    WorkloadSpec.from_mapping({"image": "of-the-template", **spec})
    argument = draft.outside_spec.get
    return ParsedCommand(
        spec=spec,
        name=argument("name"),
        name_prefix=argument("name_prefix"),
        project=argument("project"),
        template=argument("template"),
        kind="distributed" if "distributed" in spec else "training",
        warnings=tuple(draft.warnings),
        line=draft.line(),
    )


def _odd_quotes(split: words.SplitLine, draft: Draft) -> list[str]:
    """Repeat the warning of odd quotes beside other mistakes: they are the likely cause."""
    if not draft.problems:
        return []
    return [warning for warning in split.warnings if warning.startswith(words.ODD_QUOTES)]


def _as_words(line: Sequence[str]) -> words.SplitLine:
    if not isinstance(line, (list, tuple)) or not all(isinstance(word, str) for word in line):
        raise SpecError(
            [f"command line: a {type(line).__name__}; allowed: one text, or a list of texts"]
        )
    if not line:
        raise SpecError([words.EMPTY])
    return words.SplitLine(list(line), [], [])


def _apply(draft: Draft, occurrences: list[Occurrence]) -> None:
    last = {item.name: item for item in occurrences}
    draft.flags = set(last)
    effective = [
        item for item in occurrences if item.flag.takes is Takes.MANY or item is last[item.name]
    ]
    for item in sorted(effective, key=lambda item: item.name not in _FIRST):
        draft.flag = item.written
        _warn_of_old_short_forms(draft, item)
        _apply_one(draft, item)
    draft.flag = ""
    draft.warnings += _repeated(occurrences, last)


def _warn_of_old_short_forms(draft: Draft, item: Occurrence) -> None:
    if (item.name, item.written) == ("template", "-t"):
        draft.warn(f"read as --template {item.value}, as until mid-2020; a terminal is --tty")
    if (item.written, item.value) == ("-i", "t"):
        draft.warn(
            "read as the image 't'; -it is for a terminal, and no one sits there: leave it out"
        )


def _repeated(occurrences: list[Occurrence], last: Mapping[str, Occurrence]) -> Iterator[str]:
    times = Counter(item.name for item in occurrences if item.flag.takes is not Takes.MANY)
    for name, count in times.items():
        if count > 1:
            # The value may show a slip: "-it" gives the image "t".
            value = f": {last[name].value!r}" if name == "image" else ""
            yield f"--{name}: given {count} times; the last one counts{value}"


def _apply_one(draft: Draft, item: Occurrence) -> None:
    target = item.flag.target
    # A flag switched off asks for nothing, so there is nothing to refuse or to leave out.
    if item.value == "false" and target.disposition in (Disposition.IGNORED, Disposition.REFUSED):
        return
    placeholders = [] if item.name in _FREE else words.placeholders(item.value)
    if not placeholders:
        try:
            target.apply(draft, item.value)
        except ValueError as error:
            draft.problems.append(f"{item.written}: {_shown(error, item)}")
    elif not draft.placeholders_named:  # else each was reported with line and column
        draft.problems += [f"{item.written}: {words.unfilled(one)}" for one in placeholders]


def _shown(error: ValueError, item: Occurrence) -> str:
    # Checks of lists and parts begin with a path, which the flag's name replaces.
    text = str(error).removeprefix("[0]").lstrip(".")
    if in_value(item.value) and "not shown" not in text:
        return (
            f"cannot be read, and carries a password or token (not shown); allowed: {item.flag.doc}"
        )
    return text

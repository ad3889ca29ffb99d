"""
YAML of templates: plain values, each with its line, and nothing that constructs or multiplies.

Aliases, foreign tags, duplicate keys and deep nesting are refused; texts are read by the core
schema of YAML 1.2, in which ``yes``, ``on``, ``1:30`` and dates are texts. Values of variables,
labels and annotations keep their text, so that ``VERSION: 1.10`` is not ``1.1``. PyYAML is imported
when it is needed; only its parser is used, which constructs no values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.errors import SpecError

#: Characters of one text.
MAX_CHARACTERS = 65536
_MAX_DEPTH = 20
_CORE = {
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")
} | {"!"}
_TEXT = {"tag:yaml.org,2002:str", "!"}
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
# Longer ones stay texts: no key has a use for them, and making the number would take quadratic
# time.
_WHOLE = re.compile(r"[-+]?\d{1,18}")
_NUMBER = re.compile(r"[-+]?(\.\d{1,40}|\d{1,40}\.\d{0,40}|\d{1,40}(?=[eE]))([eE][-+]?\d{1,4})?")
#: Names of mappings whose values are sent as texts.
TEXTUAL = frozenset({"environment", "labels", "annotations", "extended_resources"})

Path = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """
    One YAML document.

    :param where: file, Variable or DAG file, for messages.
    :param value: made of mappings, lists, texts, numbers, booleans and ``None``.
    :param lines: line of each key and list entry, from 1.
    """

    where: str
    value: Any
    lines: Mapping[Path, int] = field(default_factory=dict)

    def at(self, sentence: str) -> str:
        """Return a sentence that begins with a path, its place and line put in front."""
        key = re.match(r"[^\s:]*", sentence)
        path = tuple(re.findall(r"[^.\[\]]+", key[0] if key else ""))
        # A key that is missing has no line: that of the part it belongs to will do.
        while path and path not in self.lines:
            path = path[:-1]
        line = f", line {self.lines[path]}" if path else ""
        return f"{self.where}{line}: {sentence}"


def below_textual(path: Path) -> bool:
    """Return whether a scalar at ``path`` is sent as a text anyway."""
    return len(path) > 1 and path[-2] in TEXTUAL


def documents(
    text: object, where: str, as_text: Callable[[Path], bool] = below_textual
) -> list[Document]:
    """
    Read a text that may hold several documents; empty ones are left out.

    :param as_text: whether the scalar at a path stays a text.
    :raises SpecError: naming ``where``, the line, what was found and what is allowed.
    """
    import yaml  # not needed by tasks without templates

    try:
        result = list(_ValueReader(yaml, where, as_text).read(_bounded(text, where)))
    except yaml.YAMLError as error:
        raise SpecError([_broken(error, where)]) from None
    if not result:
        raise SpecError(
            [f"{where}: empty; allowed: a template, a mapping such as 'name: …' and 'spec: …'"]
        )
    return result


def _bounded(text: object, where: str) -> str:
    if not isinstance(text, str):
        raise SpecError([f"{where}: a {type(text).__name__}; allowed: YAML as a text"])
    if len(text) > MAX_CHARACTERS:
        raise SpecError(
            [f"{where}: {len(text)} characters; allowed: {MAX_CHARACTERS}. Split it into several"]
        )
    return text


def _broken(error: Any, where: str) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
    return f"{where}{line}: no valid YAML: {reason}"


class _ValueReader:
    """Builds values from the parser's events, without PyYAML's own constructors."""

    def __init__(self, yaml: Any, where: str, as_text: Callable[[Path], bool]) -> None:
        self.yaml, self.where, self.as_text = yaml, where, as_text
        self.lines: dict[Path, int] = {}
        self.events: Iterator[Any] = iter(())

    def read(self, text: str) -> Iterator[Document]:
        self.events = self.yaml.parse(text, Loader=self.yaml.SafeLoader)
        for event in self.events:
            if isinstance(event, self.yaml.DocumentStartEvent):
                self.lines = {}
                value = self.value(next(self.events), ())
                if value is not None:
                    yield Document(self.where, value, self.lines)

    def value(self, event: Any, path: Path) -> Any:
        self.check(event, path)
        if isinstance(event, self.yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, self.yaml.SequenceStartEvent):
            return self.sequence(path)
        text = self.word(event)
        value = text if event.style or event.tag in _TEXT else scalar(text)
        # An empty scalar is null even where texts are kept.
        return text if value is not None and self.as_text(path) else value

    def mapping(self, path: Path) -> JsonObject:
        mapping: JsonObject = {}
        while not isinstance(event := next(self.events), self.yaml.MappingEndEvent):
            self.check(event, path)
            if not isinstance(event, self.yaml.ScalarEvent):
                raise self.wrong(event, "a key that is a list or mapping; allowed: a word")
            key = self.word(event)
            below = (*path, key)
            if key in mapping:
                # YAML forbids this, but parsers let the last one win without a word.
                first = f"first in line {self.lines[below]}"
                raise self.wrong(
                    event, f"{'.'.join(below)}: stands twice, {first}; keep one of them"
                )
            self.lines[below] = event.start_mark.line + 1
            mapping[key] = self.value(next(self.events), below)
        return mapping

    def sequence(self, path: Path) -> list[Any]:
        entries: list[Any] = []
        while not isinstance(event := next(self.events), self.yaml.SequenceEndEvent):
            below = (*path, str(len(entries)))
            self.lines[below] = event.start_mark.line + 1
            entries.append(self.value(event, below))
        return entries

    def word(self, event: Any) -> str:
        """Join a surrogate pair, as JSON escapes one; half of one could not be sent."""
        try:
            return str(event.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self.wrong(
                event, "half a character (a lone surrogate); write the character itself"
            ) from None

    def check(self, event: Any, path: Path) -> None:
        if isinstance(event, self.yaml.AliasEvent):
            raise self.wrong(
                event,
                f"the alias *{event.anchor}; write it out, or put it into a template to extend",
            )
        if event.tag is not None and event.tag not in _CORE:
            raise self.wrong(
                event, f"the tag {event.tag!r} would construct an object; allowed: plain values"
            )
        if len(path) > _MAX_DEPTH:
            raise self.wrong(event, f"nested more than {_MAX_DEPTH} levels deep; no key needs that")

    def wrong(self, event: Any, sentence: str) -> SpecError:
        return SpecError([f"{self.where}, line {event.start_mark.line + 1}: {sentence}"])


def scalar(text: str) -> Any:
    """Return the value of a plain scalar in YAML 1.2; infinities and hexadecimals stay texts."""
    is_constant_case = text in (text.lower(), text.upper(), text.capitalize())
    if is_constant_case and text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text

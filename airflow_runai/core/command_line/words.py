"""
A copied command line as words, as a shell would split it.

Quotes, escapes, continued lines, prompts and comments are understood. There is no shell here, on
purpose: nothing is expanded and nothing is run. ``$NAME`` stays as it is, with a warning, because a
worker's variables are not the researcher's. What only a shell can do (pipes, several commands,
``$(…)``) is refused with its place. A Jinja template is one piece, blanks included: Airflow fills
it in later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError

#: Allowed before the command: empty lines, comments, and a prompt such as ``(base) me@host:~$``.
_HEAD = re.compile(
    r"(?:\s*#[^\n]*\n)*\s*(?:(?:\([\w.-]+\)[ \t]*)?[^\s'\"]*[$%>][ \t]+(?=\S*runai))?"
)
_PIECE = re.compile(
    r"""
    (?P<continued>\\(?P<loose>[ \t]*)\n(?:[ \t]*>[ \t])?)
  | (?P<end>\n)
  | (?P<space>[ \t]+)
  | (?P<odd>[^\S \t\n]|[\x00-\x08\x0e-\x1f\x7f\u200b-\u200f\u2060\ufeff])
  | (?P<comment>(?<!\S)\#[^\n]*)
  | (?P<single>'[^']*')
  | (?P<double>"(?:[^"\\]|\\.)*")
  | (?P<escaped>\\.)
  | (?P<placeholder><[A-Za-z][^<>'"\n&;`$]*(?<=[\w.)\]])>)
  | (?P<template>\{\{.*?\}\}|\{%.*?%\})
  | (?P<shell>[|&;<>()`]|\$[('"])
  | (?P<plain>[^\s'"\\|&;<>()`$\#{\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]+|[$\#{])
  | (?P<broken>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_VARIABLE = re.compile(r"(?<!\\)\$(?:\{[^}]*\}|[A-Za-z_]\w*)")
#: Quotes as word processors write them.
ODD_QUOTES = ("\u201c", "\u201d", "\u201e", "\u2018", "\u2019")
_ODD_QUOTE = re.compile(f"[{''.join(ODD_QUOTES)}]")
_SINGLE_QUOTED = re.compile(r"'[^']*'")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
EMPTY = "command line: empty; allowed: one command such as 'runai submit train1 -i IMAGE …'"
_SUBSTITUTION = re.compile(r"(?<!\\)(?:\$\(|`)")


class SplitLine(NamedTuple):
    """
    The words of one command.

    :param problems: mistakes that did not prevent the splitting.
    """

    words: list[str]
    warnings: list[str]
    problems: list[str]


def split(text: str) -> SplitLine:
    """
    Split one command line.

    :raises SpecError: with line and column, if quotes are broken, if only a shell could run it, or
        if it is empty.
    """
    # A backslash before a Windows line end continues the line all the same.
    text = text.replace("\r\n", "\n")
    splitter = _Splitter(text)
    head = _HEAD.match(text)
    begin = head.end() if head else 0
    try:
        # Each character is in some piece: the last alternative takes any.
        for piece in _PIECE.finditer(text, begin):
            splitter.take(piece)
    except SpecError as error:
        raise SpecError([*splitter.placeholders, *error.problems]) from None
    splitter.end_word()
    if not splitter.words:
        raise SpecError([EMPTY])
    return SplitLine(splitter.words, list(_warnings(text[begin:])), splitter.placeholders)


def placeholders(text: str) -> list[str]:
    """Return the parts that a documentation page leaves to its reader, such as ``<image_name>``."""
    return re.findall(r"<[A-Za-z][^<>]*>", text)


def unfilled(placeholder: str) -> str:
    """Return what is wrong with a placeholder."""
    return f"placeholder {cut(placeholder, 60)}: fill it in, without < and >"


def _warnings(text: str) -> Iterator[str]:
    """Yield a warning for each thing that a shell, or a person, would have read differently."""
    names = _unique(_VARIABLE.findall(_SINGLE_QUOTED.sub("", text)))
    if names:
        yield (
            f"{', '.join(names)}: kept as it stands; no shell expands it here, so the container "
            "gets this very text. Write the value, or a Jinja template, if your shell was to fill "
            "it in"
        )
    quotes = _unique(_ODD_QUOTE.findall(_QUOTED.sub("", text)))
    if quotes:
        yield (
            f"{' '.join(quotes)}: kept as it stands, because it is not a quote to a shell; "
            "type ' or \" instead"
        )
    if re.search(r"(?<=[\s=,:])~/", text):
        yield "~/: kept as it stands; no shell expands it here. Write the whole path"


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


class _Splitter:
    """Collects pieces into words; a word may have several pieces (``-e A='b c'``)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        self.word: str | None = None
        self.ended = False
        self.placeholders: list[str] = []

    def take(self, piece: re.Match[str]) -> None:
        kind = str(piece.lastgroup)
        # In a shell, blanks behind a line's last backslash end the word; copying leaves some there.
        if kind in ("space", "comment", "end") or piece["loose"]:
            self.end_word()
        if kind == "end":
            self.ended = bool(self.words)
        elif kind not in ("space", "comment", "continued"):
            self.add(kind, piece)

    def add(self, kind: str, piece: re.Match[str]) -> None:
        mistake = self.mistake(kind, piece[0])
        if mistake:
            raise SpecError([self.at(piece, mistake)])
        if kind == "placeholder":
            self.placeholders.append(self.at(piece, unfilled(piece[0])))
        self.word = (self.word or "") + _unquoted(kind, piece[0])

    def mistake(self, kind: str, text: str) -> str | None:
        if self.ended:
            return (
                "a second line; allowed: one command; end each line but the last with a backslash"
            )
        if kind == "odd":
            return (
                f"U+{ord(text):04X}, which looks like a blank or like nothing; "
                "type a plain blank, or none"
            )
        if kind == "broken":
            found = f"{text} is never closed" if text in "'\"" else "a lone backslash"
            return f"{found}; close it"
        if kind == "double" and _SUBSTITUTION.search(text):
            kind, text = "shell", "a command substitution"
        if kind == "shell":
            return (
                f"{text} is for a shell, and there is none here; write '…' around it to pass it on"
            )
        return None

    def end_word(self) -> None:
        if self.word is not None:
            self.words.append(self.word)
        self.word = None

    def at(self, piece: re.Match[str], sentence: str) -> str:
        line = self.text.count("\n", 0, piece.start()) + 1
        column = piece.start() - self.text.rfind("\n", 0, piece.start())
        return f"command line, line {line}, column {column}: {sentence}"


def _unquoted(kind: str, piece: str) -> str:
    if kind == "single":
        return piece[1:-1]
    if kind == "double":
        # Between double quotes a backslash escapes these four, and continues a line.
        return re.sub(r'\\(?:([$`"\\])|\n)', lambda escaped: escaped[1] or "", piece[1:-1])
    return piece[1:] if kind == "escaped" else piece

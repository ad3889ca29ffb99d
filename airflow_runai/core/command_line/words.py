"""
A copied command line as words, as a shell would split it: quotes, escapes, continued lines, prompts, comments.

There is no shell here, on purpose: nothing is expanded and nothing is run. ``$NAME`` stays as it
stands and is warned about, because a worker's variables are not the researcher's; what only a shell
can do (pipes, several commands, ``$(…)``) is refused with its place. A Jinja template is one piece,
blanks and all: Airflow fills it in later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError

#: What may stand before the command: empty lines, comments, and a prompt such as ``$`` or ``(base)
#: me@host:~$``.
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
#: What word processors make of quotes.
ODD_QUOTES = ("\u201c", "\u201d", "\u201e", "\u2018", "\u2019")
_SUBSTITUTION = re.compile(r"(?<!\\)(?:\$\(|`)")


class Words(NamedTuple):
    """
    The words of one command, and what should be said about them.

    :param problems: what is wrong with it, though it could be split.
    """

    words: list[str]
    warnings: list[str]
    problems: list[str]


def split(text: str) -> Words:
    """
    Split one command line.

    :raises SpecError: with line and column, if quotes are broken, if only a shell could run it, or
        if it is empty.
    """
    text = text.replace("\r\n", "\n")
    reader = _Reader(text)
    head = _HEAD.match(text)
    begin = head.end() if head else 0
    try:
        for piece in _PIECE.finditer(text, begin):
            reader.take(piece)
    except SpecError as error:
        raise SpecError([*reader.placeholders, *error.problems]) from None
    reader.end_word()
    if not reader.words:
        raise SpecError(
            ["command line: empty; allowed: one command such as 'runai submit train1 -i IMAGE …'"]
        )
    return Words(reader.words, list(_unexpanded(text[begin:])), reader.placeholders)


def placeholders(text: str) -> list[str]:
    """Return what documentation leaves to its reader: ``<image_name>``."""
    return re.findall(r"<[A-Za-z][^<>]*>", text)


def unfilled(found: str) -> str:
    """Say what to do with a placeholder."""
    return f"placeholder {cut(found, 60)}: fill it in, without < and >"


def _unexpanded(text: str) -> Iterator[str]:
    names = list(dict.fromkeys(_VARIABLE.findall(re.sub(r"'[^']*'", "", text))))
    if names:
        yield (
            f"{', '.join(names)}: kept as it stands; no shell expands it here, so the container gets this very text. "
            "Write the value, or a Jinja template, if your shell was to fill it in"
        )
    quotes = list(
        dict.fromkeys(
            re.findall(f"[{''.join(ODD_QUOTES)}]", re.sub(r"'[^']*'|\"[^\"]*\"", "", text))
        )
    )
    if quotes:
        yield f"{' '.join(quotes)}: kept as it stands, for it is no quote to a shell; type ' or \" instead"
    if re.search(r"(?<=[\s=,:])~/", text):
        yield "~/: kept as it stands; no shell expands it here. Write the whole path"


class _Reader:
    """Collects pieces into words; a word may have several pieces (``-e A='b c'``)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        self.word: str | None = None
        self.ended = False
        self.placeholders: list[str] = []

    def take(self, piece: re.Match[str]) -> None:
        kind = str(piece.lastgroup)
        # Blanks between the backslash and the line's end, as copying leaves them, would end the
        # command in a shell.
        if kind in ("space", "comment", "end") or piece["loose"]:
            self.end_word()
        if kind == "end":
            self.ended = bool(self.words)
        elif kind not in ("space", "comment", "continued"):
            self.add(kind, piece)

    def add(self, kind: str, piece: re.Match[str]) -> None:
        if self.ended:
            raise self.wrong(
                piece,
                "a second line",
                "allowed: one command; end each line but the last with a backslash",
            )
        if kind == "odd":
            raise self.wrong(
                piece,
                f"U+{ord(piece[0]):04X}, which looks like a blank or like nothing",
                "type a plain blank, or none",
            )
        if kind == "broken":
            raise self.wrong(
                piece,
                f"{piece[0]} is never closed" if piece[0] in "'\"" else "a lone backslash",
                "close it",
            )
        if kind == "placeholder":
            self.placeholders += self.wrong(piece, unfilled(piece[0])).problems
        if kind == "shell" or (kind == "double" and _SUBSTITUTION.search(piece[0])):
            shown = piece[0] if kind == "shell" else "a command substitution"
            raise self.wrong(
                piece,
                f"{shown} is for a shell, and there is none here",
                "write '…' around it to pass it on",
            )
        self.word = (self.word or "") + _meaning(kind, piece[0])

    def end_word(self) -> None:
        if self.word is not None:
            self.words.append(self.word)
        self.word = None

    def wrong(self, piece: re.Match[str], *sentences: str) -> SpecError:
        line = self.text.count("\n", 0, piece.start()) + 1
        column = piece.start() - self.text.rfind("\n", 0, piece.start())
        return SpecError([f"command line, line {line}, column {column}: {'; '.join(sentences)}"])


def _meaning(kind: str, piece: str) -> str:
    if kind == "single":
        return piece[1:-1]
    if kind == "double":
        return re.sub(r'\\(?:([$`"\\])|\n)', lambda found: found[1] or "", piece[1:-1])
    return piece[1:] if kind == "escaped" else piece

"""
The statements of a start-up script and their commands, as far as lint needs them.

A script becomes a list of top-level statements; a loop, a branch or a function body is one
statement with all commands in it. That is enough to know what runs last and how, and too little to
know which branch is taken: rules stay silent where that would matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_runai.core.lint.shell_tokens import Token, tokens

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[[^]]*\])?\+?=.*", re.DOTALL)
_PREFIXES = {"then", "do", "else", "elif", "!", "time", "if", "while", "until"}
_OPENERS = {
    "if": "fi",
    "while": "done",
    "until": "done",
    "for": "done",
    "select": "done",
    "case": "esac",
    "{": "}",
}
_CLOSERS = set(_OPENERS.values())
#: Constructs whose own words, up to the next separator, are not a command.
_HEADERS = ("for", "select", "case")
_ALWAYS = {"true", ":", "[ 1 ]", "[[ 1 ]]", "((1))", "(( 1 ))"}
_WITHOUT_CONDITION = re.compile(r"\(\([^;]*;\s*;[^;]*\)\)")
_REDIRECTIONS = re.compile(r"\d*[<>]|&>")


@dataclass(frozen=True)
class Command:
    """A simple command: its words with quotes, without redirections."""

    words: tuple[str, ...]
    line: int
    piped: bool = False  # it is part of a pipeline
    background: bool = False

    @property
    def plain(self) -> tuple[str, ...]:
        """The words from the program on, without quotes and without assignments before it."""
        words = [re.sub(r"[\"']", "", word) for word in self.words]
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        return tuple(words)

    @property
    def literal(self) -> tuple[str, ...]:
        """The same words, quotes resolved as a shell does, but nothing expanded."""
        return tuple(map(unquoted, self.words[len(self.words) - len(self.plain) :]))

    @property
    def name(self) -> str:
        """The program, without its folder; empty for a mere assignment."""
        return self.plain[0].rpartition("/")[2] if self.plain else ""

    @property
    def shown(self) -> str:
        """The program and its first word, for messages."""
        # An option may hold a secret.
        first = [word for word in self.plain[1:2] if not word.startswith("-")]
        return " ".join([self.name, *first])


@dataclass
class Statement:
    """The part between two line ends or semicolons at the top level."""

    commands: list[Command] = field(default_factory=list)
    function: str | None = None
    compound: bool = False
    piped: bool = False  # a compound as a whole
    background: bool = False
    joiners: list[str] = field(default_factory=list)  # && and ||, in order; ! before a command
    forever: bool = False  # a loop whose condition always holds


@dataclass(frozen=True)
class ShellScript:
    """The statements of a script, in order; ``text`` is its source."""

    statements: tuple[Statement, ...]
    text: str = ""

    @property
    def commands(self) -> Iterator[Command]:
        """All commands, those of functions and branches included."""
        return (command for statement in self.statements for command in statement.commands)

    def function(self, name: str) -> Statement | None:
        """Return the function of that name."""
        for statement in self.statements:
            if statement.function == name:
                return statement
        return None


def unquoted(word: str) -> str:
    """Return a word without its quotes; nothing is expanded."""
    parts = re.findall(r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"|((?:[^'\"\\]|\\.)+)", word, re.DOTALL)
    return "".join(
        single or re.sub(r'\\([$`"\\])', r"\1", double) or re.sub(r"\\(.)", r"\1", plain)
        for single, double, plain in parts
    )


def read_script(text: str) -> ShellScript | None:
    """Read a script; ``None`` if it is not for a POSIX-like shell, or cannot be read."""
    first = text.split("\n", 1)[0]
    # Without #! a shell reads it, or no one.
    if first.startswith("#!") and not re.search(r"\b(ba|da|k|z|a)?sh\b", first):
        return None
    # Deep nesting exhausts the stack, and broken syntax breaks the reader's assumptions; such a
    # script is not judged.
    try:
        return ShellScript(tuple(_Parser().read(tokens(text))), text)
    except (ValueError, RecursionError, IndexError):
        return None


class _Parser:
    """One pass over the tokens; ``open`` holds the words that close the constructs around."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.statement = Statement()
        self.words: list[str] = []
        self.line = 0
        self.piped = False
        self.open: list[str] = []
        self.loop = ""  # the outermost construct, until its first command has ended

    def read(self, script: list[Token]) -> list[Statement]:
        is_target = False  # of a redirection
        for token in script:
            if is_target:
                is_target = False
            elif not token.is_operator:
                self._word(token)
            elif _REDIRECTIONS.match(token.text) and self.words[:1] != ["[["]:
                is_target = True
            else:
                self._operator(token.text)
        self._operator("\n")
        if self.open:
            raise ValueError(f"{self.open[-1]} is missing")
        return [statement for statement in self.statements if statement.commands]

    @property
    def in_pattern(self) -> bool:
        """Whether the parser is inside a case, where words may be patterns."""
        return self.open[-1:] == ["esac"]

    def _word(self, token: Token) -> None:
        if self.words and not (self.words[0] == "function" and token.text == "{"):
            self.words.append(token.text)
            return
        if self.words:
            self.statement.function, self.words = self.words[-1], []
        if token.text in _CLOSERS and self.open[-1:] == [token.text]:
            self.open.pop()
        elif token.text in _OPENERS:
            self._open(token)
        elif token.text not in _PREFIXES:
            self._begin(token)
        elif token.text == "!":
            # The command behind it has another exit code: what follows depends on a test.
            self.statement.joiners.append(token.text)

    def _open(self, token: Token) -> None:
        self.open.append(_OPENERS[token.text])
        self.loop = "" if self.statement.compound else token.text
        self.statement.compound = True
        if token.text in _HEADERS:
            self._begin(token)

    def _begin(self, token: Token) -> None:
        self.words, self.line = [token.text], token.line

    def _operator(self, text: str) -> None:
        if self.words[:1] == ["[["] and self.words[-1] != "]]" and text != "\n":
            self.words.append(text)
        elif text == "(":
            self._parenthesis()
        elif text == ")" and self.in_pattern:
            self.words = []  # it was a pattern
        elif text == ")":
            self._end_command()
            if not self.open or self.open.pop() != ")":
                raise ValueError("( is missing")
        elif text == "|" and self.in_pattern and len(self.words) == 1 and not self.piped:
            # A pipe, or "a | b)": a pattern is dropped at its parenthesis.
            self.words.append("|")
        else:
            self._separator(text)

    def _parenthesis(self) -> None:
        if self.words and self.in_pattern:
            raise ValueError("a pattern with parentheses")
        if len(self.words) == 1 or self.words[:1] == ["function"]:
            self.statement.function = self.words[-1]  # "name ( ) {": the body follows
            self.words = []
        self.open.append(")")
        self.statement.compound = True

    def _separator(self, text: str) -> None:
        is_pipe = text in ("|", "|&")
        is_joiner = text in ("&&", "||")
        if not self.words and self.statement.compound:
            self.statement.piped |= is_pipe
            self.statement.background |= text == "&" and not self.open
        self._end_command(piped=is_pipe, background=text == "&", joined=is_joiner)
        if is_joiner:
            self.statement.joiners.append(text)
        elif text in ("\n", ";", "&") and not self.open and not self._awaits_body():
            self.statements.append(self.statement)
            self.statement = Statement()

    def _awaits_body(self) -> bool:
        return bool(self.statement.function) and not self.statement.commands

    def _end_command(
        self, *, piped: bool = False, background: bool = False, joined: bool = False
    ) -> None:
        words, before = self.words, self.piped
        self.piped = piped or "|" in words
        if not words:
            return
        if words[0] == "function" and len(words) > 1:
            self.statement.function = words[1]
        elif words[0] not in _HEADERS:
            command = Command(tuple(words), self.line, self.piped or before, background)
            self.statement.commands.append(command)
        self.statement.forever |= not joined and self._never_ends()
        self.words, self.loop = [], ""

    def _never_ends(self) -> bool:
        """Return whether the words are a loop's condition that always holds."""
        if self.loop == "for":
            return len(self.words) > 1 and bool(_WITHOUT_CONDITION.fullmatch(self.words[1]))
        condition = " ".join(self.words)
        if self.loop == "while":
            return condition in _ALWAYS
        return self.loop == "until" and condition == "false"

"""
The words and operators of a shell script.

Quotes, substitutions, comments, continuations and heredocs are understood. ``shlex`` cannot be
used: it cuts ``"$(cd "$(dirname "$0")" && pwd)"`` into pieces and takes ``${x#y}`` for a comment.
Words keep their quotes. Nothing is expanded, and what cannot be read is an error, not a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Characters; a longer text is hardly a start-up script.
MAX_LENGTH = 100_000
_OPERATOR = re.compile(
    r"\n|;;&|;;|;&|;|&&|&>>|&>|&|\|\||\|&|\||\(|\)|\d*(?:<<<|<<-|<<|<>|<&|>&|>>|>\||<(?!\()|>(?!\())"
)
_BLANK = re.compile(r"(?:[ \t\r]|\\\n)+")
_ENDS_WORD = " \t\r\n;&|<>()"
_POSITIONAL = re.compile(r"\$(?:([@*1-9])|\{!?([@*1-9])[^}]*\})")


@dataclass(frozen=True)
class Token:
    """A word, or an operator such as ``&&`` or a line's end."""

    text: str
    line: int
    is_operator: bool = False


def tokens(script: str) -> list[Token]:
    """
    Return all tokens of a script.

    :raises ValueError: if a quote or substitution does not end.
    """
    if len(script) > MAX_LENGTH:
        raise ValueError("too long for a start-up script")
    return _Tokenizer(script.replace("\r\n", "\n")).scan()


class _Tokenizer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self.heredocs: list[tuple[str, bool]] = []

    def scan(self) -> list[Token]:
        at = 0
        while at < len(self.text):
            operator = _OPERATOR.match(self.text, at)
            if blank := _BLANK.match(self.text, at):
                at = blank.end()
            elif self.text[at] == "#":
                at = self._end_of_line(at)
            # "((" begins arithmetic, which is read as one word.
            elif operator and not self.text.startswith("((", at):
                at = self._operator(operator[0], at)
            else:
                at = self._word(at)
        return self.tokens

    def _operator(self, text: str, at: int) -> int:
        self._note(text, at, is_operator=True)
        end = at + len(text)
        return self._after_heredocs(end) if text == "\n" else end

    def _note(self, text: str, at: int, *, is_operator: bool = False) -> None:
        self.tokens.append(Token(text, self.text.count("\n", 0, at) + 1, is_operator))

    def _end_of_line(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def _word(self, start: int) -> int:
        at = start
        while at < len(self.text):
            if at == start and self.text.startswith(("<(", ">("), at):
                at = self._skip(at + 2, ")")  # process substitution
            elif self.text[at] in _ENDS_WORD and not self._opens_inside(at, start):
                break
            else:
                at = self.step(at)
        word = self.text[start:at].replace("\\\n", "")
        self._note_heredoc(word)
        self._note(word, start)
        return at

    def _note_heredoc(self, word: str) -> None:
        """Keep a heredoc's delimiter until the line's end, where its text begins."""
        before = self.tokens[-1] if self.tokens else None
        if before and before.is_operator and before.text.lstrip("0123456789") in ("<<", "<<-"):
            delimiter = re.sub(r"['\"\\]", "", word)
            self.heredocs.append((delimiter, before.text.endswith("-")))

    def _opens_inside(self, at: int, start: int) -> bool:
        """Return whether a parenthesis belongs to the word: ``A=(…)`` or ``((…))``."""
        is_array = at > start and self.text[at - 1] == "="
        return self.text[at] == "(" and (is_array or self.text.startswith("((", at))

    def step(self, at: int, in_double: bool = False) -> int:
        """Return the index behind one character, or behind a quote or substitution."""
        two = self.text[at : at + 2]
        if two[0] == "\\":
            return at + 2
        if two == "$(":
            return self._skip(at + 2, ")")
        if two == "${":
            return self._skip(at + 2, "}", in_double)
        if two[0] == "`":
            return self._skip(at + 1, "`", in_double=True)
        return at + 1 if in_double else self._step_outside(at, two)

    def _step_outside(self, at: int, two: str) -> int:
        if two == "$'":
            return self._skip(at + 2, "'", in_double=True)  # backslashes count here
        if two[0] == "'":
            return self.text.index("'", at + 1) + 1
        if two[0] == '"':
            return self._skip(at + 1, '"', in_double=True)
        return self._skip(at + 1, ")") if two[0] == "(" else at + 1

    def _skip(self, at: int, closer: str, in_double: bool = False) -> int:
        while at < len(self.text):
            if self.text[at] == closer:
                return at + 1
            at = self.step(at, in_double)
        raise ValueError(f"{closer} is missing")

    def _after_heredocs(self, at: int) -> int:
        for delimiter, tabs in self.heredocs:
            while at < len(self.text):
                end = self._end_of_line(at)
                line, at = self.text[at:end], end + 1
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
        self.heredocs.clear()
        return at


def arguments_in(word: str) -> set[str]:
    """
    Return how a word uses the script's arguments.

    :return: of ``quoted`` (``"$@"``), ``bare`` (``$@`` or ``$*`` outside quotes), ``joined``
        (``"$*"``), ``one`` (``$1``), ``inner`` (inside a substitution).
    """
    uses: set[str] = set()
    tokenizer = _Tokenizer(word)
    at, in_double = 0, False
    while at < len(word):
        positional = _POSITIONAL.match(word, at)
        end = at + 1
        if positional:
            uses.add(_use(positional[1] or positional[2], in_double))
            end = positional.end()
        elif word[at] == '"':
            in_double = not in_double
        elif word[at] != "(":  # an array, whose words follow
            end = tokenizer.step(at, in_double)
            if word[at] in "$`" and _POSITIONAL.search(word, at, end):
                uses.add("inner")
        at = end
    return uses


def _use(name: str, in_double: bool) -> str:
    if name not in "@*":
        return "one"
    return ("quoted" if name == "@" else "joined") if in_double else "bare"

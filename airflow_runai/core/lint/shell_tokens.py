"""
The words and operators of a shell script: quotes, substitutions, comments, continuations and heredocs, nothing more.

``shlex`` cannot be used: it cuts ``"$(cd "$(dirname "$0")" && pwd)"`` into pieces and takes
``${x#y}`` for a comment. Words keep their quotes. Nothing is expanded, and what cannot be read is
an error, not a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Start-up scripts are short; whatever is longer is something else. Characters.
LONGEST = 100_000
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
    if len(script) > LONGEST:
        raise ValueError("too long for a start-up script")
    return _Scanner(script.replace("\r\n", "\n")).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[Token] = []
        self.heredocs: list[tuple[str, bool]] = []

    def scan(self) -> list[Token]:
        at = 0
        while at < len(self.text):
            blank, operator = _BLANK.match(self.text, at), _OPERATOR.match(self.text, at)
            if blank:
                at = blank.end()
            elif self.text[at] == "#":
                at = self._end_of_line(at)
            elif operator and not self.text.startswith("((", at):
                self._note(operator[0], at, is_operator=True)
                at = self._after_heredocs(operator.end()) if operator[0] == "\n" else operator.end()
            else:
                at = self._word(at)
        return self.found

    def _note(self, text: str, at: int, *, is_operator: bool = False) -> None:
        self.found.append(Token(text, self.text.count("\n", 0, at) + 1, is_operator))

    def _end_of_line(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def _word(self, start: int) -> int:
        at = start
        while at < len(self.text):
            array = at > start and self.text[at - 1] == "="
            opens = self.text[at] == "(" and (array or self.text.startswith("((", at))
            process = at == start and self.text[at : at + 2] in ("<(", ">(")
            if self.text[at] in _ENDS_WORD and not opens and not process:
                break
            at = self._skip(at + 2, ")") if process else self._step(at)
        word = self.text[start:at].replace("\\\n", "")
        before = self.found[-1] if self.found else None
        if before and before.is_operator and before.text.lstrip("0123456789") in ("<<", "<<-"):
            self.heredocs.append((re.sub(r"['\"\\]", "", word), before.text.endswith("-")))
        self._note(word, start)
        return at

    def _step(self, at: int, in_double: bool = False) -> int:
        """
        Return the place after one character, or after the quote or substitution that begins here.
        """
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
            at = self._step(at, in_double)
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
    Say how a word uses the script's arguments.

    :return: of ``quoted`` (``"$@"``), ``bare`` (``$@`` or ``$*`` outside quotes), ``joined``
        (``"$*"``), ``one`` (``$1``), ``inner`` (inside a substitution).
    """
    found: set[str] = set()
    at, in_double, scanner = 0, False, _Scanner(word)
    while at < len(word):
        hit = _POSITIONAL.match(word, at)
        if hit:
            found.add(_use(hit[1] or hit[2], in_double))
            at = hit.end()
        elif word[at] in '"(':
            in_double, at = in_double != (word[at] == '"'), at + 1
        else:
            after = scanner._step(at, in_double)
            if word[at] in "$`" and _POSITIONAL.search(word, at, after):
                found.add("inner")
            at = after
    return found


def _use(name: str, in_double: bool) -> str:
    if name not in "@*":
        return "one"
    return ("quoted" if name == "@" else "joined") if in_double else "bare"

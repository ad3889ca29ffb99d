"""
A command line's words as flags, positionals and payload, by the rules of pflag, the library behind both generations.

Everything after the first bare ``--`` is payload, whatever it looks like. Boolean flags take a
value only after ``=``. One rule is ours: pflag would take ``--project`` as the value in ``--image
--project p``; here the image has no value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_runai.core.command_line.flags import Flag, Takes
from airflow_runai.core.command_line.values import go_boolean
from airflow_runai.core.fields import nearest
from airflow_runai.core.texts import cut

#: Their values are words for the container, which may look like any flag.
_OPAQUE = {"args", "command"}
#: What word processors, wikis and chats make of hyphens.
_DASHES = ("\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212")


@dataclass(frozen=True)
class Given:
    """A flag as it was written (``-g``) and its value; of booleans ``true`` or ``false``."""

    flag: Flag
    shown: str
    value: str


@dataclass
class Scan:
    """
    What was found.

    :param named: canonical names of all flags that were recognized, those without a value included.
    :param payload: the words after a bare ``--``; ``None`` without one.
    """

    given: list[Given] = field(default_factory=list)
    positionals: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    payload: list[str] | None = None
    problems: list[str] = field(default_factory=list)


def by_name(flags: Iterable[Flag]) -> dict[str, Flag]:
    """Return the flags by each of their names, with hyphens."""
    return {name: flag for flag in flags for name in flag.spelled}


def scan(words: list[str], flags: Mapping[str, Flag], elsewhere: Mapping[str, str]) -> Scan:
    """
    Sort out ``words``; mistakes are collected, none stops the reading.

    :param elsewhere: flags that are unknown here, with what to write instead.
    """
    end = words.index("--") if "--" in words else len(words)
    payload = words[end + 1 :] if end < len(words) else None
    reader = _Reader(deque(words[:end]), flags, elsewhere, Scan(payload=payload))
    while reader.rest:
        reader.take(reader.rest.popleft())
    return reader.found


@dataclass
class _Reader:
    rest: deque[str]
    flags: Mapping[str, Flag]
    elsewhere: Mapping[str, str]
    found: Scan

    def take(self, word: str) -> None:
        if word.startswith("--"):
            self.long(word)
        elif word.startswith(_DASHES) or (
            len(word) > 2 and f"-{word}".partition("=")[0] in self.flags
        ):
            self.mistyped(word)
        elif word.startswith("-") and len(word) > 1:
            self.short(word[1:])
        else:
            self.found.positionals.append(word)

    def mistyped(self, word: str) -> None:
        """Refuse a word processor's dash, and ``-image x``, which pflag takes for the image ``mage`` and a word."""
        name, equals, _ = word.partition("=")
        bare = name.lstrip("-" + "".join(_DASHES))
        found = (
            "one hyphen in place of two"
            if word.startswith("-")
            else f"U+{ord(word[0]):04X} in place of hyphens"
        )
        self.found.problems.append(
            f"{cut(name, 40)}: begins with {found}; write {'--' if bare[1:] else '-'}{bare}"
        )
        self.skip(not equals)

    def long(self, word: str) -> None:
        name, equals, value = word.partition("=")
        if name in self.flags:
            self.add(name, value if equals else None)
        else:
            self.unknown(name, skip=not equals)

    def short(self, letters: str) -> None:
        """Read ``-g1``, ``-g=1``, ``-g 1`` and bundles of booleans such as ``-qd``."""
        while letters:
            name, letters = f"-{letters[0]}", letters[1:]
            if name not in self.flags:
                return self.unknown(name, skip=not letters)
            takes_rest = self.flags[name].takes is not Takes.NOTHING or letters.startswith("=")
            if takes_rest and letters:
                return self.add(name, letters.removeprefix("="))
            self.add(name, None)
        return None

    def add(self, name: str, value: str | None) -> None:
        flag = self.flags[name]
        self.found.named.add(flag.names[0])
        if flag.takes is Takes.NOTHING:
            self.add_boolean(name, flag, value)
        elif value is not None:
            self.found.given.append(Given(flag, name, value))
        elif not self.rest or (
            flag.names[0] not in _OPAQUE and self.rest[0].partition("=")[0] in self.flags
        ):
            follows = (
                f"followed by the flag {self.rest[0].partition('=')[0]}"
                if self.rest
                else "nothing follows"
            )
            self.found.problems.append(
                f"{name}: has no value, {follows}; allowed: {name} VALUE ({flag.doc})"
            )
        else:
            self.found.given.append(Given(flag, name, self.rest.popleft()))

    def add_boolean(self, name: str, flag: Flag, value: str | None) -> None:
        try:
            on = value is None or go_boolean(value)
        except ValueError as error:
            self.found.problems.append(f"{name}: {error}")
        else:
            self.found.given.append(Given(flag, name, str(on).lower()))

    def unknown(self, name: str, *, skip: bool) -> None:
        """Name the nearest flag; what follows is likely its value, and no mistake of its own."""
        names = [known for known in self.flags if known.startswith("--")]
        hint = (
            nearest(name, names)
            if name.startswith("--")
            else "allowed: one of the command's own short flags"
        )
        hint = self.elsewhere.get(name, cut(hint, 2000))
        self.found.problems.append(f"{cut(name, 40)}: unknown flag; {hint}")
        self.skip(skip)

    def skip(self, likely: bool) -> None:
        """Pass over what is likely the value of a flag that cannot be read: it is no mistake of its own."""
        if likely and self.rest and not self.rest[0].startswith("-"):
            self.rest.popleft()

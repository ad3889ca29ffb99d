"""
A command line's words as flags, positionals and payload, by the rules of pflag.

Both generations use that library. Everything after the first bare ``--`` is payload, whatever it
looks like. Boolean flags take a value only after ``=``. One rule is ours: pflag would take
``--project`` as the value in ``--image --project p``; here the image has no value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_runai.core.command_line.flags import Flag, Takes
from airflow_runai.core.command_line.values import go_boolean
from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest

#: Their values are words for the container, which may look like any flag.
_OPAQUE = {"args", "command"}
#: What word processors, wikis and chats make of hyphens.
_DASHES = ("\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212")


@dataclass(frozen=True)
class Occurrence:
    """A flag as it was written (``-g``) and its value; of booleans ``true`` or ``false``."""

    flag: Flag
    written: str
    value: str

    @property
    def name(self) -> str:
        """The canonical name of the flag."""
        return self.flag.name


@dataclass
class Scan:
    """
    The parts of a line.

    :param recognized: canonical names of all known flags, those without a value included.
    :param payload: the words after a bare ``--``; ``None`` without one.
    """

    occurrences: list[Occurrence] = field(default_factory=list)
    positionals: list[str] = field(default_factory=list)
    recognized: set[str] = field(default_factory=set)
    payload: list[str] | None = None
    problems: list[str] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """Return the values of one flag, in order."""
        return [item.value for item in self.occurrences if item.name == name]


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
    scanner = _Scanner(deque(words[:end]), flags, elsewhere, Scan(payload=payload))
    while scanner.rest:
        scanner.take(scanner.rest.popleft())
    return scanner.scan


@dataclass
class _Scanner:
    rest: deque[str]
    flags: Mapping[str, Flag]
    elsewhere: Mapping[str, str]
    scan: Scan

    def take(self, word: str) -> None:
        if word.startswith("--"):
            self.take_long(word)
        elif word.startswith(_DASHES) or self.lacks_a_hyphen(word):
            self.refuse_mistyped(word)
        # A lone hyphen is a positional to pflag.
        elif word.startswith("-") and len(word) > 1:
            self.take_short(word[1:])
        else:
            self.scan.positionals.append(word)

    def lacks_a_hyphen(self, word: str) -> bool:
        # pflag would take ``-image x`` for the image ``mage`` and a positional.
        return len(word) > 2 and f"-{word}".partition("=")[0] in self.flags

    def refuse_mistyped(self, word: str) -> None:
        name, equals, _ = word.partition("=")
        bare = name.lstrip("-" + "".join(_DASHES))
        if word.startswith("-"):
            start = "one hyphen in place of two"
        else:
            start = f"U+{ord(word[0]):04X} in place of hyphens"
        hyphens = "--" if len(bare) > 1 else "-"
        self.scan.problems.append(f"{cut(name, 40)}: begins with {start}; write {hyphens}{bare}")
        self.skip_value(likely=not equals)

    def take_long(self, word: str) -> None:
        name, equals, value = word.partition("=")
        if name in self.flags:
            self.add(name, value if equals else None)
        else:
            self.refuse_unknown(name, value_follows=not equals)

    def take_short(self, letters: str) -> None:
        """Read ``-g1``, ``-g=1``, ``-g 1`` and bundles of booleans such as ``-qd``."""
        while letters:
            name, letters = f"-{letters[0]}", letters[1:]
            if name not in self.flags:
                return self.refuse_unknown(name, value_follows=not letters)
            # -g1 and -g=1 are the same; a boolean takes a value behind = only.
            takes_rest = self.flags[name].takes is not Takes.NOTHING or letters.startswith("=")
            if takes_rest and letters:
                return self.add(name, letters.removeprefix("="))
            self.add(name, None)
        return None

    def add(self, name: str, value: str | None) -> None:
        flag = self.flags[name]
        self.scan.recognized.add(flag.name)
        if flag.takes is Takes.NOTHING:
            self.add_boolean(name, flag, value)
        elif value is not None:
            self.scan.occurrences.append(Occurrence(flag, name, value))
        else:
            self.add_next_word(name, flag)

    def add_next_word(self, name: str, flag: Flag) -> None:
        next_name = self.rest[0].partition("=")[0] if self.rest else None
        if next_name is None:
            why = "nothing follows"
        elif next_name in self.flags and flag.name not in _OPAQUE:
            # pflag would take the flag for the value, which is never meant.
            why = f"followed by the flag {next_name}"
        else:
            self.scan.occurrences.append(Occurrence(flag, name, self.rest.popleft()))
            return
        self.scan.problems.append(
            f"{name}: has no value, {why}; allowed: {name} VALUE ({flag.doc})"
        )

    def add_boolean(self, name: str, flag: Flag, value: str | None) -> None:
        try:
            on = value is None or go_boolean(value)
        except ValueError as error:
            self.scan.problems.append(f"{name}: {error}")
        else:
            self.scan.occurrences.append(Occurrence(flag, name, str(on).lower()))

    def refuse_unknown(self, name: str, *, value_follows: bool) -> None:
        if name in self.elsewhere:
            hint = self.elsewhere[name]
        elif name.startswith("--"):
            hint = cut(nearest(name, [flag for flag in self.flags if flag.startswith("--")]), 2000)
        else:
            hint = "allowed: one of the command's own short flags"
        self.scan.problems.append(f"{cut(name, 40)}: unknown flag; {hint}")
        self.skip_value(likely=value_follows)

    def skip_value(self, *, likely: bool) -> None:
        """Pass over the likely value of a flag that cannot be read: it is not a second mistake."""
        if likely and self.rest and not self.rest[0].startswith("-"):
            self.rest.popleft()

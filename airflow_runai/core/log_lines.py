"""
The lines of a workload's log: how a text becomes lines, and which of them are new.

The text is whatever a training writes. Each line is cleaned as a terminal would show it, and
bounded. A log only grows, but each look sees just its end, and no line carries a number: where the
last look ended is found by comparing the last lines that were seen.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.texts import printable

#: What an operator's ``get_logs`` may be.
TAIL, FOLLOW, OFF = GET_LOGS = ("tail", "follow", "off")
#: Characters of a line; a longer one is cut.
LINE_LIMIT = 1000
#: So many lines at the end of what was seen are remembered to find the place again.
MARKS = 32

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


def clean_lines(text: str) -> list[str]:
    """Return the lines of a text, printable, without colours; of a progress bar its last state."""
    return [_clean(line) for line in text.rstrip("\n").split("\n")] if text.strip() else []


def _clean(line: str) -> str:
    shown = line.rstrip("\r").rpartition("\r")[2]
    return _ESCAPES.sub("", shown).expandtabs(4).rstrip()


def cut_line(line: str) -> str:
    """Return a line as it is shown: printable, at most :data:`LINE_LIMIT` characters long."""
    return printable(line, LINE_LIMIT)


def newest(
    lines: Sequence[str], count: int, characters: int, longest: float = inf
) -> tuple[str, ...]:
    """
    Return as many of the last lines as both limits allow.

    :param longest: characters to which each line will be cut before it is shown.
    """
    kept: list[str] = []
    room: float = characters
    for line in reversed(lines[-count:] if count else ()):
        room -= min(len(line), longest) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))


@dataclass(frozen=True, slots=True)
class LogPosition:
    """
    How far a log was seen.

    :param count: lines from the log's first one to there; 0 if that is not known.
    :param marks: checksums of the last of them, at most :data:`MARKS`.
    :param pods: names of other pods of the same incarnation whose ends were shown.
    """

    count: int = 0
    marks: tuple[int, ...] = ()
    pods: tuple[str, ...] = ()

    def to_json(self) -> JsonObject:
        """Return plain JSON; checksums instead of lines, which may be secret, and are longer."""
        return {"count": self.count, "marks": list(self.marks), "pods": list(self.pods)}

    @classmethod
    def from_json(cls, value: JsonMapping) -> LogPosition:
        """Read what :meth:`to_json` wrote."""
        marks, pods = value.get("marks") or (), value.get("pods") or ()
        return cls(int(value.get("count") or 0), tuple(map(int, marks)), tuple(map(str, pods)))


@dataclass(frozen=True, slots=True)
class Growth:
    """
    What a look shows that the one before did not.

    :param has_gap: lines between the two looks may not have been seen; how many is not known.
    """

    lines: tuple[str, ...]
    place: LogPosition
    has_gap: bool = False


def growth(before: LogPosition, lines: Sequence[str], *, is_whole: bool) -> Growth:
    """
    Compare a log's end with how far it was seen.

    :param lines: the end of the log as it is now, or all of it.
    :param is_whole: these are all lines of the log, from its first one.
    """
    marks = [zlib.crc32(line.encode("utf-8", "replace")) for line in lines]
    at = _end_of(before, marks, is_whole=is_whole)
    fresh, common = tuple(lines[at:]), min(at, len(before.marks))
    # A few equal lines at the top of a window may be equal by chance.
    is_sure = common == len(before.marks) or common >= MARKS // 2
    count = len(lines) if is_whole else 0
    place = LogPosition(count, (*before.marks, *marks[at:])[-MARKS:], before.pods)
    return Growth(fresh, place, has_gap=not is_sure)


def _end_of(before: LogPosition, marks: Sequence[int], *, is_whole: bool) -> int:
    """Return how many of these lines were seen, 0 if none of them is recognized."""
    if not before.marks:
        return 0
    # A log that is still seen from its beginning needs no guess, even if its lines repeat.
    if is_whole and before.count and _fits(before, marks, before.count):
        return before.count
    whole = range(len(before.marks), len(marks) + 1)
    found = [at for at in whole if _fits(before, marks, at)]
    if not found:
        part = range(min(len(before.marks), len(marks)), 0, -1)
        return next((at for at in part if _fits(before, marks, at)), 0)
    # The same few lines again and again, which fit at each turn: none of them is shown twice.
    turns = zip(found, [*found[1:], inf], strict=True)
    return next(at for at, later in turns if later - at > len(before.marks))


def _fits(before: LogPosition, marks: Sequence[int], at: int) -> bool:
    if at > len(marks) or marks[at - 1] != before.marks[-1]:
        return False
    common = min(at, len(before.marks))
    return list(marks[at - common : at]) == list(before.marks[-common:])

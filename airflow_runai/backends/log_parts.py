"""What any platform does with the lines of a log: which of them are shown, and without secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_runai.backends.redaction import Redaction
from airflow_runai.core.log_lines import LINE_LIMIT, Growth, cut_line, newest
from airflow_runai.core.log_reader import CHARACTERS, LINES, LogPart, UnmaskedPart

#: Lines of a log's end that are returned also if they are not new; the tab shows so many.
END_LINES = 20
#: Characters of a line that are searched for secrets; none is shown beyond.
_SEARCHED = 4096


def found_part(moment: float, at: float, lines: Sequence[str], found: Growth) -> UnmaskedPart:
    """
    Return what the first half of a look has found.

    :param moment: see :class:`UnmaskedPart`, as is ``at``.
    :param lines: the end of the log.
    :param found: what is new in it; of its lines only the number counts.
    """
    fresh = lines[len(lines) - len(found.lines) :]
    new = len(newest(fresh, LINES, CHARACTERS, LINE_LIMIT))
    count = max(new, len(newest(lines, END_LINES, CHARACTERS, LINE_LIMIT)))
    kept = tuple(line[:_SEARCHED] for line in (lines[-count:] if count else ()))
    part = LogPart((), found.place, found.has_gap, len(found.lines) - new)
    return UnmaskedPart(moment, at, kept, new, part)


def shown_part(found: UnmaskedPart, masked: Sequence[str], node: str) -> LogPart:
    """
    Return what is shown of it.

    :param masked: its lines without secrets.
    """
    lines = tuple(masked[-found.new :]) if found.new else ()
    return replace(found.part, lines=lines, node=node, end=tuple(masked[-END_LINES:]))


def without_secrets(lines: Sequence[str], redaction: Redaction) -> tuple[str, ...]:
    """Return lines as they may be shown."""
    # The end of the line tells that a secret's first letters are not the rest of a cut one.
    texts = (redaction.text(line[:_SEARCHED] + "\n") for line in lines)
    return tuple(cut_line(text.removesuffix("\n")) for text in texts)

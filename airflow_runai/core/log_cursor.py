"""
How far the log of one pod was seen, by the times that its lines carry.

A node stamps each line to the nanosecond, and serves a log from a given second on. So the lines of
that second come again, and are left out here. If the last line that was seen does not come again,
the log was turned over meanwhile, and lines may be missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.log_lines import clean_lines

_SECOND = 1_000_000_000
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)(?: |$)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class LogCursor:
    """
    The last line that was seen.

    :param uid: of the pod; another pod's log has another cursor.
    :param at: nanoseconds since the epoch; 0 if no line was seen.
    :param count: how many lines of this very time were seen.
    """

    uid: str
    at: int = 0
    count: int = 0

    @property
    def since(self) -> str | None:
        """The second from which the log has to be read on; ``None`` for its beginning."""
        if not self.at:
            return None
        moment = datetime.fromtimestamp(self.at // _SECOND, timezone.utc)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def after(self, at: int) -> LogCursor:
        """Return the cursor after one more line."""
        if at > self.at:
            return LogCursor(self.uid, at, 1)
        return LogCursor(self.uid, self.at, self.count + (at == self.at))

    def to_json(self) -> JsonObject:
        """Return plain JSON; the time as a text, because it has more digits than a float."""
        return {"uid": self.uid, "at": str(self.at), "count": self.count}

    @classmethod
    def from_json(cls, value: JsonMapping) -> LogCursor:
        """Read what :meth:`to_json` wrote."""
        at, count = int(value.get("at") or 0), int(value.get("count") or 0)
        return cls(str(value.get("uid") or ""), at, count)


@dataclass(frozen=True, slots=True)
class LogLine:
    """
    A line that was not seen before.

    :param text: printable; not masked.
    :param cursor: where to go on after it.
    :param has_gap: lines before it may be missing.
    """

    text: str
    cursor: LogCursor
    has_gap: bool = False

    @property
    def stamped(self) -> str:
        """The line with its time, which tells it apart from others that say the same."""
        return f"{self.cursor.at} {self.text}"


class LogStretch:
    """
    Reads one answer of the log, from the cursor's second on.

    :ivar cursor: how far the log was seen.
    """

    def __init__(self, cursor: LogCursor) -> None:
        self.cursor = cursor
        self._start = cursor
        self._repeated = 0
        # Behind the line at which the last answer ended, nothing was seen yet, whatever its time:
        # two outputs of one program may be stamped in the wrong order.
        self._is_past = cursor.at == 0
        self._time = cursor.at

    def take(self, raw: bytes) -> LogLine | None:
        """Take the next line; return it if it was not seen before."""
        text = raw.decode("utf-8", "replace")
        stamp = _STAMP.match(text)
        # A line without a time is the rest of the one before it.
        self._time = _nanoseconds(stamp) if stamp else self._time
        has_gap = not self._is_past and self._time > self._start.at and not self._repeated
        if not self._is_past and self._was_seen(bool(stamp)):
            return None
        self._is_past = True
        self.cursor = self.cursor.after(self._time)
        cleaned = clean_lines(text[stamp.end() :] if stamp else text)
        return LogLine(cleaned[0] if cleaned else "", self.cursor, has_gap)

    def _was_seen(self, is_stamped: bool) -> bool:
        if self._time != self._start.at:
            return self._time < self._start.at
        self._repeated += is_stamped
        return self._repeated <= self._start.count


def _nanoseconds(stamp: re.Match[str]) -> int:
    second, fraction, zone = stamp.groups()
    try:
        moment = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone))
    except ValueError:
        return 0
    return int(moment.timestamp()) * _SECOND + int((fraction or "0").ljust(9, "0"))

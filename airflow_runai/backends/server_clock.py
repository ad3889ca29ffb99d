"""
The control plane's clock, as its replies show it.

All moments of a workload are the server's. A worker whose own clock is ten minutes ahead would see
each new training exceed its limits at once, so local time is corrected by what the header ``Date``
says. Small differences stay: the header has whole seconds, and is as old as the reply is slow.
"""

from __future__ import annotations

import logging
import math
import time
from email.utils import parsedate_to_datetime

log = logging.getLogger(__name__)

#: Differences up to this many seconds are not corrected.
TOLERANCE = 5.0


class ServerClock:
    """Local time, corrected; one for each process and control plane, since it warns only once."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._warned = False

    def now(self) -> float:
        """Return epoch seconds by the server's clock; by ours before a reply, or if both agree."""
        return time.time() + (self._offset if self._differs else 0.0)

    @property
    def _differs(self) -> bool:
        return abs(self._offset) > TOLERANCE

    def learn(self, date: str | None, sent: float) -> None:
        """
        Take note of a reply that has just come.

        :param date: its header ``Date``.
        :param sent: epoch seconds by our clock at which the request was sent.
        """
        server_time = _epoch(date)
        if server_time is None:
            return
        # Written some time between sending and receiving, and cut to whole seconds: move no further
        # than it proves.
        least, most = server_time - time.time(), server_time + 1.0 - sent
        self._offset = min(max(self._offset, least), most)
        if self._differs and not self._warned:
            self._warned = True
            log.warning(
                "this machine's clock is %.0f s %s that of the control plane, "
                "whose time is used for its workloads",
                abs(self._offset),
                "behind" if self._offset > 0 else "ahead of",
            )


def _epoch(date: str | None) -> float | None:
    try:
        seconds = parsedate_to_datetime(date).timestamp() if date else math.nan
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None

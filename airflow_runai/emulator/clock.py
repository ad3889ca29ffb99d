"""
The two clocks of the embedded Run:ai.

``RealClock`` is the wall clock. ``SteppedClock`` stands still until it is moved, so that a test can
play a week in seconds and always sees the same instants. Token life times never use these clocks:
the client compares them with its own wall clock.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol

DEFAULT_START = 1_767_225_600.0  # 2026-01-01T00:00:00Z


class Clock(Protocol):
    """The time, and whether it passes by itself."""

    stepped: bool

    def now(self) -> float:
        """Return the time in epoch seconds."""
        ...


class RealClock:
    """The wall clock."""

    stepped = False

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return time.time()


class SteppedClock:
    """
    A clock that moves only on request.

    :param start: the first instant, in epoch seconds.
    """

    stepped = True

    def __init__(self, start: float = DEFAULT_START) -> None:
        self._now = start

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return self._now

    def move_to(self, instant: float) -> None:
        """Move forward to an instant; a clock never goes back."""
        # The last step before an instant may have gone a millisecond too far.
        self._now = max(self._now, instant)


def iso(instant: float) -> str:
    """Write an instant as the control plane does: ISO 8601, milliseconds, UTC."""
    time_utc = datetime.fromtimestamp(instant, tz=timezone.utc)
    # Not strftime, which writes the year 308 with three digits.
    return time_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")

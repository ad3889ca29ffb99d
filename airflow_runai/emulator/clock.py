"""
The two clocks the embedded Run:ai can live by.

``RealClock`` follows the wall. ``SteppedClock`` stands still until somebody moves it, so that a
test can live through a week in seconds and always sees the same instants. Token life times never
use these clocks: the other party compares them with its own wall clock.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol

DEFAULT_START = 1_767_225_600.0  # 2026-01-01T00:00:00Z


class Clock(Protocol):
    """What the engine asks: the time in epoch seconds, and whether it passes by itself."""

    stepped: bool

    def now(self) -> float:
        """Tell the time in epoch seconds."""
        ...


class RealClock:
    """The wall clock."""

    stepped = False

    def now(self) -> float:
        """Tell the time in epoch seconds."""
        return time.time()


class SteppedClock:
    """
    A clock that only moves when told to.

    :param start: the first instant, in epoch seconds.
    """

    stepped = True

    def __init__(self, start: float = DEFAULT_START) -> None:
        self._now = start

    def now(self) -> float:
        """Tell the time in epoch seconds."""
        return self._now

    def move_to(self, instant: float) -> None:
        """Move forward to an instant; a clock never goes back."""
        self._now = max(self._now, instant)


def iso(instant: float) -> str:
    """Write an instant as the control plane does: ISO 8601, milliseconds, UTC."""
    moment = datetime.fromtimestamp(instant, tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

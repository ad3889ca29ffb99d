"""The time of the model: the virtual loop of the simulation, or a clock that a test moves by hand."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import count
from typing import Protocol

#: 2026-01-01T00:00:00Z
BEGIN = 1_767_225_600.0


class Clock(Protocol):
    """What the model needs of time."""

    def now(self) -> float:
        """Tell epoch seconds."""

    def after(self, seconds: float, work: Callable[[], object]) -> object:
        """Do something later."""


class SteppedClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self._now = BEGIN
        self._numbers = count()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []

    def now(self) -> float:
        return self._now

    def after(self, seconds: float, work: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (self._now + seconds, next(self._numbers), work))

    def advance(self, seconds: float) -> None:
        """Let time pass, and do what becomes due, in order."""
        end = self._now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self._now, _, work = heapq.heappop(self._agenda)
            work()
        self._now = end


def timestamp(moment: float) -> str:
    """Write a moment as Kubernetes does: UTC, whole seconds."""
    return datetime.fromtimestamp(int(moment), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(timestamp: str) -> float:
    """Read what :func:`timestamp` wrote."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()

"""What every controller does: looks at an object soon after it changed, once for many changes."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.clock import Clock


class Agenda:
    """
    Keys to look at, each once, at the earliest time that somebody asked for.

    :param is_down: nothing is looked at meanwhile; what becomes due waits.
    """

    def __init__(self, clock: Clock, look: Callable[[str], object]) -> None:
        self._clock, self._look = clock, look
        self._due: dict[str, float] = {}
        self.is_down = False

    def add(self, key: str, seconds: float = 0.0) -> None:
        """Look at a key in so many seconds, or earlier."""
        due = self._clock.now() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._clock.after(seconds, lambda: self._run(key, due))

    def resume(self) -> None:
        """Go on, and look at all that became due."""
        self.is_down = False
        for key in list(self._due):
            del self._due[key]
            self.add(key)

    def _run(self, key: str, due: float) -> None:
        if not self.is_down and self._due.get(key) == due:
            del self._due[key]
            self._look(key)

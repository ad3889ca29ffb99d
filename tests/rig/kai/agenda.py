"""
Keys to look at, each once, now or later: what controllers call a rate-limited work queue.

A key that failed is looked at again after 1 s, then 2, 4 and so on; one that succeeded begins anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Again", "Agenda"]

FIRST_SECONDS = 1.0
MOST_SECONDS = 60.0


class Again(Exception):
    """What was to be done for a key did not work out; try later."""


class Agenda:
    """
    Runs a function for keys, one after the other, in a thread of its own.

    :param work: raises :class:`Again` if the key must be looked at later.
    """

    def __init__(self, name: str, work: Callable[[str], None]) -> None:
        self._name, self._work = name, work
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._changed = threading.Condition()

    def start(self) -> Agenda:
        """Begin to work."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return self

    def add(self, key: str, seconds: float = 0.0) -> None:
        """Look at a key, at the latest in so many seconds."""
        with self._changed:
            due = time.monotonic() + seconds
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            self._do(self._next())

    def _next(self) -> str:
        with self._changed:
            while True:
                key = min(self._due, key=self._due.__getitem__, default=None)
                wait = None if key is None else self._due[key] - time.monotonic()
                if key is not None and wait is not None and wait <= 0:
                    del self._due[key]
                    return key
                self._changed.wait(wait)

    def _do(self, key: str) -> None:
        try:
            self._work(key)
        except Again:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            self.add(key, min(MOST_SECONDS, FIRST_SECONDS * 2 ** (failures - 1)))
        else:
            self._failures.pop(key, None)

"""Waiting for what other threads and processes do: by looking, never by sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
#: Seconds after which it is a hang and not a busy machine. Less than pytest's own limit, whose
#: report names no cause.
PATIENCE = 240.0


def wait_until(
    look: Callable[[], T | None],
    what: str | Callable[[], str] = "what the test waits for",
    pause: float = 0.02,
) -> T:
    """
    Look again and again until something true is seen, and return it.

    :param what: what is waited for, for the failure's text, or what says it then.
    :param pause: seconds between two looks.
    :raises AssertionError: if it is not seen in :data:`PATIENCE`; it says what was seen last.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"{told}: not within {PATIENCE:.0f} s; seen last: {seen!r}")
        time.sleep(pause)

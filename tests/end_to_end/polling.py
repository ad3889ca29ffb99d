"""Waiting for what other processes do: by looking, with a deadline, never by sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T | None], what: str, seconds: float = 60.0, pause: float = 0.2) -> T:
    """
    Look again and again until something true is seen, and return it.

    :param what: what is waited for, for the failure's text.
    :raises AssertionError: if it is not seen in time; it says what was seen last.
    """
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s; seen last: {seen!r}"
        time.sleep(pause)

"""Waiting for what a cluster must come to, with deadlines that only guard against a hang."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from tests.rig.api import ApiError

__all__ = ["RigError", "until"]

SECONDS_PER_LOOK = 0.03


class RigError(Exception):
    """The cluster cannot be started, or is not what somebody takes it for; the message says what to do."""


def until(holds: Callable[[], object], what: str, seconds: float = 120) -> None:
    """
    Look until something holds; a refusal, or no answer at all, means "not yet".

    :param what: completes "… did not come within … s".
    :raises RigError: when it does not come. The time is generous: it is no measure of speed.
    """
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while True:
        try:
            if holds():
                return
        except (ApiError, httpx.HTTPError) as error:
            last = error
        if time.monotonic() > deadline:
            raise RigError(
                f"{what} did not come within {seconds:g} s"
                + (f"; last answer: {last}" if last else "")
            )
        time.sleep(SECONDS_PER_LOOK)

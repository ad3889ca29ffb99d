"""Waiting for what a cluster must come to; gives up only when nothing moves any more."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from tests.rig.api import ApiError
from tests.support.waiting import pauses

__all__ = ["RigError", "until"]


class RigError(Exception):
    """The cluster cannot be started, or is not what somebody takes it for; the message says what to do."""


def until(holds: Callable[[], object], what: str, seconds: float = 120) -> None:
    """
    Look until something holds; a refusal, or no answer at all, means "not yet".

    :param what: completes "… did not come".
    :param seconds: see :class:`.Patience`.
    :raises RigError: if it does not come.
    """
    last: Exception | None = None
    for pause in pauses(seconds):
        try:
            if holds():
                return
        except (ApiError, httpx.HTTPError) as error:
            last = error
        time.sleep(pause)
    raise RigError(f"{what} did not come" + (f"; last answer: {last}" if last else ""))

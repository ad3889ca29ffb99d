"""
When a refusal is final.

An API server that has just started refuses everybody for a moment, in the words of a true refusal,
until it has read the roles. So a missing right is believed only if it lasts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from airflow_runai.backends.kubernetes.api.status import lacks_right
from airflow_runai.core.flow import Flow, Sleep, now
from airflow_runai.errors import Forbidden, RightMissing

T = TypeVar("T")

#: Seconds for which a right must be refused, and between two tries.
LASTING, PAUSE = 30.0, 2.0
#: Seconds after which something is tried again that was refused: somebody may have allowed it.
AGAIN = 600.0


class LastingRefusal:
    """Since when one thing is refused."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def is_final(self, moment: float) -> bool:
        """Take note that it is refused at a moment; return whether that has lasted."""
        # A clock that was set back begins anew.
        self._since = moment if self._since is None else min(self._since, moment)
        return moment - self._since >= LASTING

    def end(self) -> None:
        """Take note that it is allowed."""
        self._since = None


def confirmed(make: Callable[[], Flow[T]]) -> Flow[T]:
    """
    Run a flow; try it again while a right is missing for it, until that is final.

    :param make: returns a fresh flow for each attempt. What is refused has done nothing, so
        repeating it is harmless.
    :raises RightMissing: if it lasts.
    """
    refusal = LastingRefusal()
    while True:
        try:
            return (yield from make())
        except Forbidden as error:
            if not lacks_right(error):
                raise
            if refusal.is_final((yield from now())):
                raise RightMissing(str(error), error.status, error.detail) from None
        yield Sleep(PAUSE, jitter=0.5)


class Sight:
    """
    What one identity may not do on a cluster.

    To find out takes its time, so a refusal is remembered, and doubted after :data:`AGAIN` seconds.
    """

    def __init__(self) -> None:
        self._refused: dict[tuple[str | None, str], tuple[Forbidden, float]] = {}

    def attempt(
        self, namespace: str | None, what: str, make: Callable[[], Flow[None]]
    ) -> Flow[Forbidden | None]:
        """
        Do what may be forbidden, unless it was a short time ago.

        :param namespace: where; ``None`` for the whole cluster.
        :param what: its name, the same for all that one right allows.
        :return: the refusal; ``None`` if it was done.
        """
        place = namespace, what
        moment = yield from now()
        refusal, refused_at = self._refused.get(place, (None, -math.inf))
        # Another clock is set: a moment that is still to come proves nothing.
        if refusal and 0.0 <= moment - refused_at < AGAIN:
            return refusal
        if refusal:  # of many who wait, one tries
            self._refused[place] = refusal, moment
        try:
            yield from make()
        except Forbidden as error:
            # Shown to many: it must not hold on to what has raised it.
            refusal = error.with_traceback(None)
            self._refused[place] = refusal, (yield from now())
            return refusal
        self._refused.pop(place, None)
        return None

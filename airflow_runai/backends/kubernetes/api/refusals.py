"""
When a refusal is final.

An API server that has just started refuses everybody for a moment, in the words of a true refusal,
until it has read the roles. So a missing right is believed only if it lasts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from airflow_runai.backends.kubernetes.api.status import lacks_right
from airflow_runai.core.flow import Flow, Sleep, now
from airflow_runai.errors import Forbidden

T = TypeVar("T")

#: Seconds for which a right must be refused, and between two tries.
LASTING, PAUSE = 30.0, 2.0


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
    :raises Forbidden: if it lasts.
    """
    refusal = LastingRefusal()
    while True:
        try:
            return (yield from make())
        except Forbidden as error:
            if not lacks_right(error) or refusal.is_final((yield from now())):
                raise
        yield Sleep(PAUSE, jitter=0.5)


class Sight:
    """What one identity may not do on a cluster: found out once, because that takes its time."""

    def __init__(self) -> None:
        self._refused: dict[str, Forbidden] = {}

    def attempt(self, what: str, make: Callable[[], Flow[None]]) -> Flow[Forbidden | None]:
        """
        Do what may be forbidden, unless it is known to be.

        :param what: its name, the same for all that one right allows.
        :return: the refusal; ``None`` if it was done.
        """
        if what not in self._refused:
            try:
                yield from make()
            except Forbidden as error:
                self._refused[what] = error
        return self._refused.get(what)

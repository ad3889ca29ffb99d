"""
What goes on beside a wait: it hears the wait's notices, and can neither end, fail nor delay it.

A companion belongs to one wait and costs next to nothing while nothing happens: thousands wait in
one process. Work that takes time is handed to what all waits on its event loop share. That loop is
the triggerer's; a worker that waits by itself gives its companions one in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from airflow_runai.core.flow import Notice

log = logging.getLogger(__name__)

#: Seconds that a worker whose wait has ended gives its companions to come to their end.
LAST_SECONDS = 10.0


class Companion(Protocol):
    """Hears what a wait says; called on its event loop, and returns at once."""

    def hear(self, notice: Notice) -> None:
        """Take a notice of the wait."""

    def close(self) -> None:
        """Take note that the wait is over, here at least."""


class Company:
    """The companions of one wait; a bug in one hurts no one else."""

    __slots__ = ("_companions",)

    def __init__(self, companions: Sequence[Companion]) -> None:
        self._companions = tuple(companions)

    def hear(self, notice: Notice) -> None:
        """Pass a notice on."""
        for companion in self._companions:
            _guarded(companion, partial(companion.hear, notice))

    def close(self) -> None:
        """Pass on that the wait is over."""
        for companion in self._companions:
            _guarded(companion, companion.close)


def _guarded(companion: Companion, call: Callable[[], object]) -> None:
    try:
        call()
    except Exception as error:
        name = type(companion).__name__
        log.warning("%s: %s: %s; the wait goes on", name, type(error).__name__, error)


@contextmanager
def beside_a_worker(
    company: Company, tell: Callable[[Notice], None]
) -> Iterator[Callable[[Notice], None]]:
    """
    Give companions an event loop in a thread.

    :param tell: takes each notice before them, in the worker's own thread.
    :return: takes a notice of the wait.
    """

    def hear(notice: Notice) -> None:
        tell(notice)
        loop.call_soon_threadsafe(company.hear, notice)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="companions", daemon=True)
    thread.start()
    try:
        yield hear
    finally:
        loop.call_soon_threadsafe(company.close)
        ended = asyncio.run_coroutine_threadsafe(_come_to_an_end(), loop)
        try:
            ended.result(LAST_SECONDS)
        except futures.TimeoutError:
            log.warning("what went on beside the wait was given up after %.0f s", LAST_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LAST_SECONDS)


async def _come_to_an_end() -> None:
    """Wait for what the companions have begun."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)

"""
Why a workload waits so long, or does not start: asked once for each stretch, beside the wait.

In calm weather a timer for a stretch is all that it costs. Thousands may wait in one process and
become due at the same time, so the process asks about one of them at a time, a few a minute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_runai.core.flow import Notice
from airflow_runai.core.phase_news import RECENT
from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.workload import Workload
from airflow_runai.hooks.sessions import ConnectionKey, one_per_loop, session

log = logging.getLogger(__name__)

#: Seconds in a phase of this meaning after which a person would ask why.
PATIENCE: Mapping[Meaning, float] = {Meaning.WAITING: 300.0, Meaning.STARTING: 60.0}
#: Seconds between two workloads that one process asks about.
PACE = 5.0

#: Takes lines for the log, and what is published with them.
Tell = Callable[[Sequence[str], Mapping[str, Any]], None]


class LongWait:
    """
    Tells why its workload does not run.

    :param workload: which one; without an id nothing is asked.
    :param tell: called on the event loop, in the context of the wait.
    :param patience: see :data:`PATIENCE`.
    """

    __slots__ = (
        "_asking",
        "_connection",
        "_found",
        "_patience",
        "_stretch",
        "_tell",
        "_timer",
        "_workload",
    )

    def __init__(
        self,
        connection: ConnectionKey,
        workload: Workload,
        tell: Tell,
        patience: Mapping[Meaning, float] = PATIENCE,
    ) -> None:
        self._connection = connection
        self._workload = workload
        self._tell = tell
        self._patience = patience
        self._stretch: tuple[str, float] | None = None
        # What was told of this stretch.
        self._found: tuple[str, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    def hear(self, notice: Notice) -> None:
        """Begin to count when the phase changes."""
        if notice.kind not in ("timeline", "sighting") or not self._workload.id:
            return
        last = notice.data["timeline"][-1]
        stretch = (last["phase"], last["at"])
        if stretch == self._stretch:
            # Its words have changed. What was published with them must not hide the reasons.
            if self._found:
                self._tell((), {**notice.data, "reasons": list(self._found)})
            return
        self.close()
        self._stretch, self._found = stretch, ()
        seconds = self._patience.get(meaning(last["phase"]))
        if seconds is not None and notice.kind == "sighting":
            seconds = _left(seconds, time.time() - last["at"])
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._await_turn, notice.data)

    def close(self) -> None:
        """Ask no more about this stretch."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()
        self._timer = self._asking = None

    def _await_turn(self, news: Mapping[str, Any]) -> None:
        delay = one_per_loop(Turns).next_in()
        self._timer = asyncio.get_running_loop().call_later(delay, self._ask, news)

    def _ask(self, news: Mapping[str, Any]) -> None:
        self._timer = None
        self._asking = asyncio.create_task(self._explain(news))

    async def _explain(self, news: Mapping[str, Any]) -> None:
        last = news["timeline"][-1]
        seen = replace(self._workload, phase=last["phase"])
        try:
            async with session(self._connection) as joined:
                found = await joined.run(joined.backend.explain(seen, last["at"]))
        except Exception as error:
            # Whatever it is, the wait itself will meet it and say so.
            log.debug("why %s waits cannot be asked: %s", self._workload.name, error)
            return
        if found:
            self._found = tuple(reason.sentence for reason in found)
            lines = [f"{self._workload.name}: {sentence}" for sentence in self._found]
            self._tell(lines, {**news, "reasons": list(self._found)})


def _left(patience: float, waited: float) -> float | None:
    """
    Return after how many seconds to ask about a stretch that an earlier process has seen, too.

    :return: ``None`` if that process has had the time to ask.
    """
    return max(0.0, patience - waited) if waited < patience + RECENT else None


class Turns:
    """Hands out moments, :data:`PACE` apart."""

    def __init__(self) -> None:
        self._next = 0.0

    def next_in(self) -> float:
        """Return the seconds until the next free moment, and take it."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + PACE
        return turn - now

"""
How fast one session may ask the control plane: so many requests a second, so many at a time.

A herd must not decide the pace. Requests queue here, and whose answer matters most goes first
(:attr:`Request.rank`). A control plane that asks to slow down is obeyed by the whole session, not
by the one flow that got the answer.
"""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import TypeVar

from airflow_runai.core.flow import Flow, Reply, Request, Signal, Wait, now, through

T = TypeVar("T")

#: Ranks: lists and logins; ends, and whatever somebody waits for; single looks; the past.
LIST, ENDED, LOOK, HISTORY = range(4)
#: Requests a second, how many of them at once after a silence, and how many without an answer.
RATE, BURST, IN_FLIGHT = 20.0, 40.0, 8
#: Less than so many seconds is no reason to wait: clocks are not more exact.
EXACT = 0.001
#: Pauses (seconds) where the server names none: from the first to the longest.
FIRST_PAUSE, MAX_PAUSE = 1.0, 60.0


class Throttle:
    """
    Gives each request of a session its turn.

    :param rate: requests a second, greater than 0.
    """

    def __init__(self, rate: float = RATE) -> None:
        self._rate = rate
        self._burst = max(1.0, BURST * rate / RATE)
        self._allowance = self._burst
        self._counted_at = 0.0
        self._in_flight = 0
        self._queue: list[tuple[int, int, _Turn]] = []
        self._numbers = count()
        self._pause = 0.0
        self._paused_at = 0.0

    def paced(self, flow: Flow[T]) -> Flow[T]:
        """Return the flow, whose requests wait for their turns."""
        return through(flow, self._send)

    def _send(self, request: Request) -> Flow[Reply]:
        yield from self._turn(request.rank)
        try:
            reply = yield request
        finally:
            self._in_flight -= 1
            self._call_next()
        self._obey(reply)
        return reply

    def _turn(self, rank: int) -> Flow[None]:
        turn = _Turn()
        entry = (rank, next(self._numbers), turn)
        heapq.heappush(self._queue, entry)
        try:
            while True:
                turn.signal = Signal()
                seconds = yield from self._delay(entry)
                if seconds <= EXACT:
                    self._allowance -= 1
                    self._in_flight += 1
                    return
                yield Wait(turn.signal, seconds)
        finally:
            self._queue.remove(entry)
            heapq.heapify(self._queue)
            self._call_next()

    def _delay(self, entry: tuple[int, int, _Turn]) -> Flow[float]:
        """Return the seconds until it may go; infinite until somebody calls it."""
        moment = yield from now()
        # After a pause one request finds out whether the others may follow.
        at_once = 1 if self._pause else IN_FLIGHT
        if self._queue[0] is not entry or self._in_flight >= at_once:
            return math.inf
        # A clock that was set back neither takes from the allowance nor prolongs a pause.
        passed, self._counted_at = max(0.0, moment - self._counted_at), moment
        self._allowance = min(self._burst, self._allowance + passed * self._rate)
        self._paused_at = min(self._paused_at, moment)
        lacking = (1.0 - self._allowance) / self._rate
        return max(lacking, self._paused_at + self._pause - moment)

    def _call_next(self) -> None:
        if self._queue:
            self._queue[0][2].signal.set()

    def _obey(self, reply: Reply) -> None:
        asked = _retry_after(reply)
        if reply.status == 429 or (reply.status == 503 and asked):
            # Several requests that were on their way are one reason to pause, not several.
            if reply.now - self._paused_at >= self._pause:
                longer = min(2 * self._pause, MAX_PAUSE) if self._pause else FIRST_PAUSE
                self._pause = min(asked or longer, 10 * MAX_PAUSE)
                self._paused_at = reply.now
        elif reply.now - self._paused_at >= self._pause:
            self._pause = 0.0


class _Turn:
    """A place in the queue, and what calls whoever holds it."""

    __slots__ = ("signal",)

    def __init__(self) -> None:
        self.signal = Signal()


def _retry_after(reply: Reply) -> float:
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isdecimal() and len(value) < 10 else 0.0

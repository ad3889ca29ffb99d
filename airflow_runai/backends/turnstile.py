"""
One turnstile in front of a project: however many tasks wait there, one of them looks for all.

Which of them may go is the matter of ``core/waiting_line.py``. The one that looks is any of them;
when it leaves, another takes over. So nothing runs here that outlives the waits.
"""

from __future__ import annotations

import math

from airflow_runai.backends.room import Look, no_room
from airflow_runai.core.flow import Flow, Notice, Signal, Wait, now
from airflow_runai.core.room import ProjectRoom
from airflow_runai.core.waiting import MAX_PAUSE
from airflow_runai.core.waiting_line import Ticket, WaitingLine
from airflow_runai.errors import NotResolved, RefusedAgain, RunaiError, Unauthorized

#: The first look comes after a tenth of the interval, at most after so many seconds: who waited
#: longer may come a moment later.
GATHERING = 1.0
#: Seconds between two lines in the log of one who waits, if the figures have changed.
NEWS = 600.0


class _Waiter:
    """One who waits: what has become of it, and what was said to it."""

    def __init__(self, ticket: Ticket, interval: float) -> None:
        self.ticket, self.interval = ticket, interval
        self.signal = Signal()
        self.room: ProjectRoom | None = None
        self.error: RunaiError | None = None
        self.said = ""
        self.said_at = -math.inf


class Turnstile:
    """
    Lets tasks go, a few at each look.

    No locks of threads: all flows of one event loop run between their ``yield`` s without
    interruption.
    """

    def __init__(self) -> None:
        self._line = WaitingLine()
        self._waiters: dict[Ticket, _Waiter] = {}
        self._room: ProjectRoom | None = None
        self._trouble = ""
        self._failures = 0
        self._next_look = -math.inf

    def wait(
        self, ticket: Ticket, look: Look, interval: float, deadline: float = math.inf
    ) -> Flow[ProjectRoom | None]:
        """
        Wait for one's turn.

        :param look: looks once; it may be called for all who wait.
        :param interval: seconds between two looks; the shortest of all who wait counts.
        :param deadline: epoch seconds.
        :return: the room that there is; ``None`` after the deadline.
        :raises RefusedAgain: if the identity is refused: the connection may have a new secret.
        :raises NotResolved: if there is no such node pool.
        """
        waiter = yield from self._join(_Waiter(ticket, interval))
        try:
            while True:
                waiter.signal = Signal()
                moment = yield from now()
                yield from self._tell(waiter, moment)
                if waiter.error:
                    raise waiter.error
                if waiter.room or moment >= deadline:
                    return waiter.room
                yield from self._pause(waiter, look, moment, deadline)
        finally:
            self._leave(waiter)

    def _join(self, waiter: _Waiter) -> Flow[_Waiter]:
        moment = yield from now()
        if not self._waiters:
            self._room = None
            self._next_look = max(self._next_look, moment + min(GATHERING, waiter.interval / 10))
        self._line.join(waiter.ticket)
        self._waiters[waiter.ticket] = waiter
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        self._line.leave(waiter.ticket)
        del self._waiters[waiter.ticket]
        if self._waiters:
            self._first.signal.set()

    @property
    def _first(self) -> _Waiter:
        return next(iter(self._waiters.values()))

    def _pause(self, waiter: _Waiter, look: Look, moment: float, deadline: float) -> Flow[None]:
        """Sleep until there is something to do; look, if this is the one that looks."""
        due = min(deadline, moment + NEWS)
        if self._first is waiter:
            # A clock that was set back must not put off the look.
            self._next_look = min(self._next_look, moment + self._rest())
            if moment >= self._next_look:
                yield from self._look(look)
                return
            due = min(due, self._next_look)
        yield Wait(waiter.signal, due - moment)

    def _look(self, look: Look) -> Flow[None]:
        found: ProjectRoom | None = None
        try:
            found = yield from look()
        except Unauthorized as error:
            self._fail(RefusedAgain(str(error)))
        except NotResolved as error:
            self._fail(error)
        except Exception as error:
            # A bug must not end all waits here, one look after the other.
            self._trouble = str(error) if isinstance(error, RunaiError) else repr(error)
            self._failures += 1
        else:
            self._room, self._trouble, self._failures = found, "", 0
        moment = yield from now()
        self._next_look = moment + self._rest()
        # No step in between: who was let go must hear of it, even if this one is cancelled.
        for ticket in self._line.let_go(found, moment) if found else ():
            self._waiters[ticket].room = found
        for waiter in self._waiters.values():
            if waiter.room or not waiter.said:
                waiter.signal.set()

    def _rest(self) -> float:
        interval = min(waiter.interval for waiter in self._waiters.values())
        doubled = interval * 2.0 ** min(max(self._failures - 1, 0), 10)
        return min(doubled, max(interval, MAX_PAUSE))

    def _fail(self, error: RunaiError) -> None:
        for waiter in self._waiters.values():
            waiter.error = error
            waiter.signal.set()

    def _tell(self, waiter: _Waiter, moment: float) -> Flow[None]:
        news = self._news(waiter)
        is_due = waiter.room or moment - waiter.said_at >= NEWS
        if news and news != waiter.said and (is_due or not waiter.said):
            waiter.said, waiter.said_at = news, moment
            yield Notice("room", news)

    def _news(self, waiter: _Waiter) -> str:
        need = waiter.ticket.need
        if waiter.room and not waiter.ticket.is_vain(waiter.room):
            return f"there is room for {need} ({need.when}): {waiter.room}"
        if self._trouble:
            return f"the room cannot be read ({self._trouble}); still waiting"
        if self._room is None:
            return ""
        order = self._line.order
        where = (
            f"; {order[waiter.ticket]} of {len(order)} in line" if waiter.ticket in order else ""
        )
        full = need.full(self._room, waiter.ticket.digest, self._line.coming)
        return f"{no_room(need, self._room, full)}{where}"

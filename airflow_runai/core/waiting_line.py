"""
Whose turn it is: who waits for room in front of one project, and who may go when there is some.

First come, first served, and strictly so: nobody overtakes, or a request for many GPUs would starve
behind many for one. Who waits for quota and who waits for idle GPUs stand in two lines, because
room for the one is no room for the other. Who waits for a slot of its run, because all are taken,
is in nobody's way: only workloads of that run make room for it.

Whoever may go has its GPUs and its slot only later: Airflow starts a worker first. Until a look
shows its workload, they count as promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_runai.core.naming import ending
from airflow_runai.core.room import NOW, WHEN, Need, ProjectRoom

#: So many go at one look at most, whatever the figures say: they may be wrong, or without bound.
#: Who waits for a slot alone is not among them: slots are counted.
AT_ONCE = 5
#: Seconds for which GPUs stay promised to somebody whose workload does not appear.
PROMISE = 600.0


@dataclass(frozen=True, eq=False)
class Ticket:
    """
    One who waits.

    :param digest: of the task; its workload has it in its name.
    :param since: epoch seconds of its first wait; it is kept by whoever comes back.
    :param takes: whether it will take the GPUs. If not, it only asks, and is in nobody's way.
    """

    digest: str
    need: Need
    since: float
    takes: bool = True

    def is_vain(self, room: ProjectRoom) -> bool:
        """
        Tell whether no waiting helps, which its worker explains.

        A figure that nobody knows bounds nothing, but is no answer to who only asks.
        """
        unknown = () if self.takes else room.missing(self.need.when)
        return bool(unknown or self.need.hopeless(room))


@dataclass(frozen=True)
class _Promise:
    """
    GPUs, and a slot if the ticket asks for one.

    :param before: names that were seen already: of earlier workloads of the same task.
    """

    gpus: float
    at: float
    before: frozenset[str]


class WaitingLine:
    """
    Those who wait in front of one project.

    :ivar order: the position of each in its line at the last look, from 1.
    """

    def __init__(self) -> None:
        self.order: dict[Ticket, int] = {}
        self._tickets: set[Ticket] = set()
        self._promises: dict[str, _Promise] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def join(self, ticket: Ticket) -> None:
        """Wait. Whoever comes back has not taken what was promised to it."""
        self._promises.pop(ticket.digest, None)
        self._tickets.add(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Wait no more."""
        self._tickets.discard(ticket)
        self.order.pop(ticket, None)

    @property
    def promised(self) -> float:
        """GPUs of those who may have gone and whose workloads were not seen yet."""
        return sum(promise.gpus for promise in self._promises.values())

    @property
    def coming(self) -> list[str]:
        """Digests of the same."""
        return list(self._promises)

    def let_go(self, room: ProjectRoom, moment: float) -> list[Ticket]:
        """
        Choose who may go, and let them leave.

        At most :data:`AT_ONCE` of those who take GPUs, in the order of their :attr:`Ticket.since`.
        Who waits in vain goes, too: its worker says why.

        :param moment: epoch seconds.
        """
        self._promises = dict(self._unseen(room, moment))
        waiting = sorted(self._tickets, key=lambda one: (one.since, one.digest))
        gone = [one for one in waiting if not one.takes and self._is_answered(one, room)]
        gone += self._in_turn([one for one in waiting if one.takes], room, moment)
        for ticket in gone:
            self.leave(ticket)
        left = [one for one in waiting if one in self._tickets]
        self.order = {ticket: position for position, ticket in enumerate(left, 1)}
        return gone

    def _is_answered(self, ticket: Ticket, room: ProjectRoom) -> bool:
        return ticket.is_vain(room) or ticket.need.fits(room, self.promised)

    def _unseen(self, room: ProjectRoom, moment: float) -> Iterator[tuple[str, _Promise]]:
        for digest, promise in self._promises.items():
            is_seen = any(ending(digest) in name for name in room.seen - promise.before)
            if not is_seen and 0 <= moment - promise.at < PROMISE:
                yield digest, promise

    def _in_turn(self, waiting: list[Ticket], room: ProjectRoom, moment: float) -> Iterator[Ticket]:
        held_up: set[str] = set()
        taken = 0
        for ticket in waiting:
            need = ticket.need
            if ticket.is_vain(room):
                yield ticket
            elif need.when in held_up or need.too_large(room) or self._is_full(ticket, room):
                continue
            elif need.fits(room, self.promised):
                self._promise(ticket, room, moment)
                yield ticket
                taken += need.when != NOW
                if taken == AT_ONCE:
                    held_up.update(WHEN)
            else:
                held_up.add(need.when)

    def _is_full(self, ticket: Ticket, room: ProjectRoom) -> bool:
        return bool(ticket.need.full(room, ticket.digest, self._promises))

    def _promise(self, ticket: Ticket, room: ProjectRoom, moment: float) -> None:
        before = frozenset(name for name in room.seen if ending(ticket.digest) in name)
        self._promises[ticket.digest] = _Promise(ticket.need.gpus_in(room), moment, before)

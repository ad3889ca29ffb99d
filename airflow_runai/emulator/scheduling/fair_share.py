"""
Fair shares: each queue's quota, and its part, by weight, of what the other queues leave.

KAI computes with floats in the order of a Go map, so two queues with equal remainders can swap them
in every cycle and reclaim from each other for ever. Here shares are fractions, and the older queue
goes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor

from airflow_runai.emulator.scheduling.jobs import Queue


def fair_shares(
    gpus: float, queues: Sequence[Queue], requested: Mapping[str, float]
) -> dict[str, float]:
    """
    Divide the GPUs of a cluster.

    :param gpus: all GPUs of the cluster.
    :param queues: the oldest first.
    :param requested: GPUs that all jobs of a queue request together, running and waiting.
    :return: GPUs per queue. Overcommitted quotas are not cut.
    """
    division = _Division(gpus, queues, requested)
    # What a saturated queue leaves is divided again among the others.
    while division.left > 0 and division.divide_by_weight():
        pass
    division.give_remainders()
    return {name: float(share) for name, share in division.given.items()}


class _Division:
    """
    The GPUs given so far, and what is left.

    :ivar remainders: parts of a GPU that a queue is still due.
    """

    def __init__(
        self,
        gpus: float,
        queues: Sequence[Queue],
        requested: Mapping[str, float],
    ) -> None:
        self._queues = queues
        self._usable = {
            queue.name: _fraction(min(requested.get(queue.name, 0.0), queue.ceiling))
            for queue in queues
        }
        self.given = {
            queue.name: min(_fraction(queue.deserved), self._usable[queue.name]) for queue in queues
        }
        self.left = _fraction(gpus) - sum(self.given.values())
        self.remainders: dict[str, Fraction] = {}

    def divide_by_weight(self) -> bool:
        """Divide what is left once; return whether a queue needed less than its part."""
        hungry = [queue for queue in self._queues if queue.weight > 0 and self._missing(queue) > 0]
        weights = sum(Fraction(queue.weight) for queue in hungry)
        # Parts are of what was left before this round, not after each queue.
        left = self.left
        saturated = False
        for queue in hungry:
            part = left * Fraction(queue.weight) / weights
            saturated = saturated or self._missing(queue) < part
            self._give_part(queue, part)
        return saturated

    def give_remainders(self) -> None:
        """Give a GPU each to the queues with the largest remainders, as long as there are any."""
        due = [queue.name for queue in self._queues if queue.name in self.remainders]
        # The sort is stable: of equals, the older queue goes first.
        for name in sorted(due, key=lambda name: -self.remainders[name]):
            self._give(name, max(Fraction(0), min(Fraction(1), self.left)))

    def _give_part(self, queue: Queue, part: Fraction) -> None:
        missing = self._missing(queue)
        whole = Fraction(floor(part))
        # It gets no remainder, since it needs none.
        if missing <= part:
            self.remainders.pop(queue.name, None)
            self._give(queue.name, missing)
            return
        if part > whole:
            self.remainders[queue.name] = part - whole
        self._give(queue.name, whole)

    def _missing(self, queue: Queue) -> Fraction:
        return self._usable[queue.name] - self.given[queue.name]

    def _give(self, name: str, gpus: Fraction) -> None:
        self.given[name] += gpus
        self.left -= gpus


def _fraction(gpus: float) -> Fraction:
    # 0.1 as a float is not a tenth; this makes it one again.
    return Fraction(gpus).limit_denominator(10_000)

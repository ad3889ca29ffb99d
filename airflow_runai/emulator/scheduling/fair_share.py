"""
How many GPUs each queue may count on now: its quota, and its part of what others leave, by weight.

KAI computes with floats in the order of a Go map, so that two queues with the same remainder can
swap it in every cycle and reclaim from each other for ever. Here it is fractions, and the older
queue goes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor

from airflow_runai.emulator.scheduling.jobs import Queue


def fair_shares(
    gpus: float, queues: Sequence[Queue], asked: Mapping[str, float]
) -> dict[str, float]:
    """
    Divide the GPUs of a cluster.

    :param gpus: all there are.
    :param queues: the oldest first.
    :param asked: what all jobs of a queue ask for together, running and waiting.
    :return: GPUs per queue. Overcommitted quotas are not cut.
    """
    wanted = {
        queue.name: _fraction(min(asked.get(queue.name, 0.0), queue.ceiling)) for queue in queues
    }
    given = {queue.name: min(_fraction(queue.deserved), wanted[queue.name]) for queue in queues}
    left = _fraction(gpus) - sum(given.values())
    remainders: dict[str, Fraction] = {}
    again = True
    while again and left > 0:
        hungry = [
            queue for queue in queues if queue.weight > 0 and wanted[queue.name] > given[queue.name]
        ]
        left, again = _round(left, hungry, wanted, given, remainders)
    in_age = [queue.name for queue in queues if queue.name in remainders]
    for name in sorted(
        in_age, key=lambda name: -remainders[name]
    ):  # stable: of equals, the older goes first
        gift = max(Fraction(0), min(Fraction(1), left))
        given[name] += gift
        left -= gift
    return {name: float(share) for name, share in given.items()}


def _fraction(gpus: float) -> Fraction:
    return Fraction(gpus).limit_denominator(10_000)


def _round(
    left: Fraction,
    hungry: Sequence[Queue],
    wanted: Mapping[str, Fraction],
    given: dict[str, Fraction],
    remainders: dict[str, Fraction],
) -> tuple[Fraction, bool]:
    """Divide once by weight; tell what is left, and whether somebody needed less than offered."""
    weights = sum(Fraction(queue.weight) for queue in hungry)
    rest, again = left, False
    for queue in hungry:
        offer = left * Fraction(queue.weight) / weights
        missing = wanted[queue.name] - given[queue.name]
        gift = missing if missing <= offer else Fraction(floor(offer))
        if missing <= offer:
            remainders.pop(queue.name, None)
        elif offer > gift:
            remainders[queue.name] = offer - gift
        given[queue.name] += gift
        rest -= gift
        again = again or missing < offer
    return rest, again

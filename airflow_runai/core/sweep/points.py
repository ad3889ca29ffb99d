"""
Points of a space: all of its grid, or some at random, the same for the same seed.

No state and no generator: where a point lies is a hash of seed, number and name, so a point stays
where it is when others are added, on every machine and with every version of Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from airflow_runai.core.sweep.space import Parameter, Parameters, Range
from airflow_runai.errors import SpecError

#: Share of the space, from 0 to below 1, by the index of a parameter and the number of a trial.
Shares: TypeAlias = Callable[[int, int], float]


def grid(space: Sequence[Parameter], limit: int) -> list[Parameters]:
    """
    Return all points of a grid, the last parameter changing fastest.

    :param limit: of points.
    :raises SpecError: for a range without ``points``, or more points than the limit.
    """
    vague = [one for one in space if isinstance(one.values, Range) and not one.values.points]
    if vague:
        raise SpecError(
            [f"space.{one.name}: a range in a grid; say how many `points`" for one in vague]
        )
    dense = [one for one in space if isinstance(one.values, Range) and one.values.points > limit]
    if dense:  # before a list is made of them
        raise SpecError(
            [f"space.{one.name}: more than {limit} `points`; allowed: {limit}" for one in dense]
        )
    found: list[Parameters] = []
    for point in _product(space):
        if len(found) == limit:
            raise SpecError([f"space: more than {limit} points; allowed: {limit}; sample some"])
        found.append(point)
    return found


def _product(space: Sequence[Parameter]) -> Iterator[Parameters]:
    # Not by recursion: a space may have more parameters than Python has levels.
    begun: list[tuple[Parameters, int]] = [({}, 0)]
    while begun:
        point, index = begun.pop()
        while index < len(space) and not space[index].exists(point):
            index += 1
        if index == len(space):
            yield point
            continue
        one = space[index]
        values = reversed(one.values.grid())
        begun += [({**point, one.name: value}, index + 1) for value in values]


def at_random(space: Sequence[Parameter], count: int, seed: int) -> list[Parameters]:
    """Return so many points, each independent of the others; points of choices may be equal."""
    names = [one.name for one in space]
    return _sampled(space, count, lambda number, index: _uniform(seed, number, names[index]))


def evenly(space: Sequence[Parameter], count: int, seed: int) -> list[Parameters]:
    """
    Return so many points that leave smaller gaps than random ones.

    They are an additive recurrence by the powers of a generalized golden ratio (M. Roberts, "The
    Unreasonable Effectiveness of Quasirandom Sequences", 2018), begun at a point by the seed.
    """
    steps = _golden_steps(len(space))
    starts = [_uniform(seed, 0, one.name) for one in space]
    return _sampled(
        space, count, lambda number, index: (starts[index] + (number + 1) * steps[index]) % 1.0
    )


def _sampled(space: Sequence[Parameter], count: int, shares: Shares) -> list[Parameters]:
    return [_point(space, number, shares) for number in range(count)]


def _point(space: Sequence[Parameter], number: int, shares: Shares) -> Parameters:
    point: dict[str, object] = {}
    for index, one in enumerate(space):
        if one.exists(point):
            point[one.name] = one.values.at(shares(number, index))
    return point


def _uniform(seed: int, number: int, name: str) -> float:
    digest = hashlib.sha256(f"{seed}:{number}:{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _golden_steps(dimensions: int) -> list[float]:
    ratio = 2.0
    for _ in range(50):  # of ratio ** (dimensions + 1) == ratio + 1
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    return [ratio ** -(power + 1) % 1.0 for power in range(dimensions)]

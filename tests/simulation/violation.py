"""A promise that was broken, and what finds that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.simulation.simulation import Played


@dataclass(frozen=True)
class Violation:
    """
    A promise that was broken.

    :param kind: the class: invariant and cause.
    """

    kind: str
    at: float
    words: str


Invariant = Callable[[Played], Iterator[Violation]]

"""A class of broken promises with the short history that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.history import History


@dataclass(frozen=True)
class Case:
    """
    One way to break a promise.

    :param kind: the class of its violation, see ``invariants.py``.
    :param seed: where it was found; its history as random choice made it.
    :param history: the same, shrunk.
    """

    kind: str
    seed: int
    history: History

    def __str__(self) -> str:
        return self.kind.replace(": ", "-").replace(" ", "-")

"""What happened in a simulation: for people line by line, for judges as facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.clock import VirtualLoop


@dataclass(frozen=True)
class Fact:
    """
    Something that really happened.

    :param at: seconds since the simulation began.
    :param kind: what it is, see the calls of :meth:`Story.note`.
    :param about: what belongs to it.
    """

    at: float
    kind: str
    who: str
    about: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.about[name]
        except KeyError:
            raise AttributeError(name) from None

    def __str__(self) -> str:
        shown = "  ".join(f"{key}={_short(value)}" for key, value in self.about.items())
        return f"{self.at:9.1f}  {self.who:<12} {self.kind:<10} {shown}"


@dataclass
class Story:
    """Collects facts in order, and wakes those who wait for one."""

    loop: VirtualLoop
    facts: list[Fact] = field(default_factory=list)
    watchers: list[Callable[[Fact], None]] = field(default_factory=list)

    def note(self, kind: str, who: str, **about: Any) -> Fact:
        """Write down a fact."""
        fact = Fact(self.loop.time(), kind, who, about)
        self.facts.append(fact)
        for watch in list(self.watchers):
            watch(fact)
        return fact

    def of(self, kind: str, **about: Any) -> Iterator[Fact]:
        """Tell the facts of a kind, oldest first."""
        return (
            f
            for f in self.facts
            if f.kind == kind and all(f.about.get(k) == v for k, v in about.items())
        )

    def lines(self) -> list[str]:
        """Return the story for people."""
        return [str(fact) for fact in self.facts]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 150 else text[:149] + "…"

"""Tells the story of a seed: what is given, what happened, and what was broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from itertools import groupby
from typing import Any

from tests.simulation.history import History
from tests.simulation.invariants import judge
from tests.simulation.random_history import histories_on
from tests.simulation.shrinking import shrink
from tests.simulation.simulation import play
from tests.simulation.story import Fact


def tell(seed: int, kind: str = "", platform: str = "runai", *, short: bool = False) -> int:
    """
    Print the story of a seed; 1 if a promise was broken.

    :param kind: the class that a short story must keep; by default the first one found.
    :param short: shrink the history first.
    """
    history = histories_on(platform)(seed)
    broken = judge(play(history))
    if short and broken:
        history = shrink(history, kind or broken[0].kind)
    print(
        "\n".join(
            (
                f"seed {seed}, short" if short else f"seed {seed}",
                *given(history),
                "",
                *happened(history),
            )
        )
    )
    if short:
        print(f"\n{source(history)}")
    return int(bool(broken))


def given(history: History) -> Iterator[str]:
    """Tell what differs from a history in which nothing happens."""
    for item in fields(History):
        value = getattr(history, item.name)
        if item.name in ("acts", "troubles", "lives"):
            yield from (f"  {_plain(entry)}" for entry in value)
        elif item.name == "cluster":
            yield from (f"  cluster: {words}" for words in (value and repr(value),) if words)
        elif is_dataclass(value) and (words := _plain(value)):
            yield f"  {item.name}: {words}"


def source(entry: Any) -> str:
    """Write a history, or a part of it, as Python would; what is as in a calm one is left out."""
    if isinstance(entry, tuple):
        return f"({', '.join(map(source, entry))}{',' if len(entry) == 1 else ''})"
    if not is_dataclass(entry):
        return repr(entry)
    needed = [
        item
        for item in fields(entry)
        if item.default is MISSING or getattr(entry, item.name) != item.default
    ]
    return f"{type(entry).__name__}({', '.join(f'{n.name}={source(getattr(entry, n.name))}' for n in needed)})"


def _plain(entry: Any) -> str:
    calm = type(entry)() if type(entry).__name__ not in ("Act", "Trouble") else None
    told = {item.name: getattr(entry, item.name) for item in fields(entry)}
    shown = {
        name: value for name, value in told.items() if calm is None or value != getattr(calm, name)
    }
    return ", ".join(f"{name}={value}" for name, value in shown.items() if value not in ("", 0.0))


def happened(history: History) -> Iterator[str]:
    """Play a history and tell what happened; looks that found nothing new are told once."""
    played = play(history)
    told = [fact for fact in played.story.facts if fact.kind != "sent"]
    for _, same in groupby(told, key=_sameness):
        yield from _once(list(same))
    yield ""
    for violation in judge(played):
        yield f"BROKEN at {violation.at:.1f}: {violation.kind}: {violation.words}"


def _sameness(fact: Fact) -> tuple[Any, ...]:
    return (
        (fact.who, fact.about["call"], fact.about["status"])
        if fact.kind == "request"
        else (id(fact),)
    )


def _once(facts: Sequence[Fact]) -> Iterator[str]:
    yield str(facts[0])
    if len(facts) > 1:
        yield f"{facts[-1].at:9.1f}  {facts[-1].who:<12} … {len(facts) - 1} more times"

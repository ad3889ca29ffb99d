"""What no source confirms about a real Run:ai or Kubernetes, as tables: one for each part."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
_DATA = Path(__file__).with_name("beliefs.yaml")


@dataclass(frozen=True)
class Belief:
    """
    One belief.

    :param used: places that rely on it, ``FILE:NAME``; a name may be ``CLASS.METHOD``.
    :param breaks: what happens if it is wrong.
    :param check: one command on a real cluster.
    """

    belief: str
    used: Sequence[str]
    breaks: str
    check: str


@cache
def beliefs() -> dict[str, list[Belief]]:
    """Return all beliefs by the part that they are about."""
    parts = yaml.safe_load(_DATA.read_text())
    return {part: [Belief(**one) for one in listed] for part, listed in parts.items()}


def tables(table: Table) -> str:
    """Return a heading and a table for each part."""
    head = ("belief", "relied on by", "if it is wrong", "check")
    parts = (f"## {part}\n\n{table(head, _rows(listed))}" for part, listed in beliefs().items())
    return "\n\n".join(parts)


def _rows(listed: Iterable[Belief]) -> Iterator[Sequence[str]]:
    for one in listed:
        used = "<br>".join(_place(place) for place in one.used)
        yield one.belief, used, one.breaks, f"`{one.check}`"


def _place(place: str) -> str:
    path, name = place.split(":")
    return f"`{name}` in `{path}`"

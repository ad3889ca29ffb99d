"""
Facts that unite in any order.

Streams of a server have no common order, repeat themselves and leave things out. So a fact is never
overwritten: each field says how two sightings of it unite, by an operation that is commutative,
associative and idempotent. Versions order the sightings of all objects in one cluster's store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from math import inf
from operator import or_
from typing import Annotated, Any, TypeAlias, TypeVar, get_type_hints

#: Elements of a fact that is a set; the newest are kept.
MANY = 64

_Fact = TypeVar("_Fact")
_Stamped = TypeVar("_Stamped", bound="tuple[Any, ...]")


def earlier(one: _Stamped | None, other: _Stamped | None) -> _Stamped | None:
    """Return the smaller of two records, of which either may be missing."""
    return min((record for record in (one, other) if record is not None), default=None)


def later(one: _Stamped | None, other: _Stamped | None) -> _Stamped | None:
    """Return the greater of two records, of which either may be missing."""
    return max((record for record in (one, other) if record is not None), default=None)


def newest_of(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    """
    Return the greatest elements of two sets, at most :data:`MANY`.

    A set is a sorted tuple here: thousands of Jobs are known, and a ``frozenset`` takes 200 bytes.
    """
    both = {*one, *other}
    return one if len(both) == len(one) else tuple(sorted(both)[-MANY:])


#: A text that never changes; empty while it is not known.
Word: TypeAlias = Annotated[str, max]
#: Something that was seen at least once.
Ever: TypeAlias = Annotated[bool, or_]
#: A version, a number or a time: the greatest or the smallest that was seen.
Greatest: TypeAlias = Annotated[float, max]
Smallest: TypeAlias = Annotated[float, min]
NewestVersion: TypeAlias = Annotated[int, max]

NEVER = inf


@lru_cache(maxsize=32)
def _ways(kind: Any) -> tuple[tuple[str, Callable[[Any, Any], Any]], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((field.name, hints[field.name].__metadata__[0]) for field in fields(kind))


def unite(one: _Fact, other: _Fact) -> _Fact:
    """Unite what two sightings of one object say; both are dataclasses of one kind."""
    kind: Any = type(one)
    ways = _ways(kind)
    united: _Fact = kind(
        **{name: way(getattr(one, name), getattr(other, name)) for name, way in ways}
    )
    return united

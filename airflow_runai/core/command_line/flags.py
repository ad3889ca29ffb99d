"""
A row of a flag table: the names of a flag, what it takes, and where it goes.

Every flag has exactly one disposition. Targets in the specification also say how they are written
back, so that reading and printing share one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_runai.core.command_line.draft import Draft

#: Writes one item back; ``None`` if another flag is for it; ``ValueError`` if no flag can say it.
Show = Callable[[Any], str | None]


class Takes(Enum):
    """What follows the name."""

    NOTHING = "boolean"
    ONE = "value"
    MANY = "value, repeatable"


class Disposition(Enum):
    """What becomes of a flag."""

    SPEC = "spec"
    ARGUMENT = "argument"
    IGNORED = "no meaning unattended"
    REFUSED = "refused"


@dataclass(frozen=True)
class FlagTarget:
    """
    Where a flag goes.

    :param where: path in the specification, name of an argument, or the reason why neither.
    :param each: turns what the specification keeps at ``where`` into items for ``show``.
    """

    disposition: Disposition
    where: str
    apply: Callable[[Draft, str], None]
    takes: Takes = Takes.ONE
    show: Show | None = None
    each: Callable[[Any], Iterable[Any]] = lambda value: [value]

    @property
    def places(self) -> list[str]:
        """The paths in ``where``."""
        return self.where.split(", ")


@dataclass(frozen=True)
class Flag:
    """
    One row.

    :param names: without hyphens, the present one first; a single letter is a short form.
    :param only: launchers whose submissions have the flag (``single`` for one without); empty: all.
    :param eras: CLI v1 only: the grammars that have it; empty: all.
    """

    names: tuple[str, ...]
    takes: Takes
    target: FlagTarget
    doc: str
    only: frozenset[str] = frozenset()
    eras: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name by which rules know it."""
        return self.names[0]

    @property
    def spelled(self) -> tuple[str, ...]:
        """The names as they are typed."""
        # pflag's short forms have one letter.
        return tuple(f"-{name}" if len(name) == 1 else f"--{name}" for name in self.names)


def row(
    names: str,
    target: FlagTarget,
    doc: str,
    *,
    takes: Takes | None = None,
    only: str = "",
    eras: str = "",
) -> Flag:
    """Make a row; ``names``, ``only`` and ``eras`` are separated by blanks."""
    return Flag(
        names=tuple(names.split()),
        takes=takes or target.takes,
        target=target,
        doc=doc,
        only=frozenset(only.split()),
        eras=frozenset(eras.split()),
    )

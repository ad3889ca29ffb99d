"""
A row of a flag table: how a flag is called, what it takes, and where it lands.

Every flag has exactly one fate: it lands in the specification, is an argument of the operator,
means nothing without a person at a terminal (a warning), or is refused. What lands also says how it
is written back, so that reading and printing share one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.values import Form, pair, seconds, show_pair, without_byte
from airflow_runai.core.fields import sendable

#: Writes one item back; ``None`` if another flag is for it; ``ValueError`` if no flag can say it.
Show = Callable[[Any], str | None]


class Takes(Enum):
    """What follows the name."""

    NOTHING = "boolean"
    ONE = "value"
    MANY = "value, repeatable"


class Disposition(Enum):
    """What becomes of a flag."""

    LANDS = "spec"
    ARGUMENT = "argument"
    IDLE = "no meaning unattended"
    REFUSED = "refused"


@dataclass(frozen=True)
class FlagTarget:
    """
    Where a flag goes.

    :param where: path in the specification, name of an argument, or the reason.
    :param each: turns what the specification keeps at ``where`` into items for ``show``.
    """

    fate: Disposition
    where: str
    apply: Callable[[Draft, str], None]
    show: Show | None = None
    each: Callable[[Any], Iterable[Any]] = lambda value: [value]


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
    landing: FlagTarget
    doc: str
    only: frozenset[str] = frozenset()
    eras: frozenset[str] = frozenset()

    @property
    def spelled(self) -> tuple[str, ...]:
        """The names as they are typed."""
        return tuple(f"-{name}" if len(name) == 1 else f"--{name}" for name in self.names)


def row(  # a table is read by its columns
    names: str, takes: Takes, landing: FlagTarget, doc: str, *, only: str = "", eras: str = ""
) -> Flag:
    """Make a row; ``names``, ``only`` and ``eras`` are separated by blanks."""
    return Flag(
        tuple(names.split()), takes, landing, doc, frozenset(only.split()), frozenset(eras.split())
    )


def put(path: str, read: Callable[[str], Any] = str, show: Show = str) -> FlagTarget:
    """Set one key of the specification."""
    return FlagTarget(
        Disposition.LANDS, path, lambda draft, value: draft.put(path, read(value)), show
    )


def switch(path: str) -> FlagTarget:
    """Set a boolean key."""
    return put(path, show=lambda value: "" if value else "=false")


def always(path: str, value: Any, show: Show | None = None) -> FlagTarget:
    """Set a key to a fixed value, if the flag is on."""

    def apply(draft: Draft, given: str) -> None:
        if given == "true":
            draft.put(path, value)

    return FlagTarget(Disposition.LANDS, path, apply, show)


def lasting(path: str) -> FlagTarget:
    """Set a key to the seconds of a duration."""
    return put(path, seconds, lambda value: f"{value}s")


def amount(path: str, least: Callable[[str], None] | None = None) -> FlagTarget:
    """Set a quantity of memory; ``10GB`` becomes ``10G`` with a warning."""

    def apply(draft: Draft, value: str) -> None:
        clean = without_byte(value)
        draft.put(path, clean)
        if least:
            least(clean)
        if clean != value:
            draft.warn(
                f"read as {clean}: a quantity has no B in Kubernetes, the command line would refuse it"
            )

    return FlagTarget(Disposition.LANDS, path, apply, str)


def texts(path: str, split: Callable[[str], list[str]] = lambda value: [value]) -> FlagTarget:
    """Append to a list of texts."""
    return FlagTarget(
        Disposition.LANDS, path, lambda draft, value: draft.add(path, *split(value)), str, iter
    )


def named(path: str) -> FlagTarget:
    """Set one name of a mapping, from ``KEY=VALUE``."""
    return FlagTarget(
        Disposition.LANDS,
        path,
        lambda draft, value: draft.name(path, *pair(value)),
        show_pair,
        dict.items,
    )


def entries(
    path: str, form: Form, mine: Callable[[dict[str, Any]], dict[str, Any] | None] = dict
) -> FlagTarget:
    """
    Append an entry to a list.

    :param mine: returns an entry in the spelling of ``form``, or ``None`` if another flag is for
        it.
    """

    def show(entry: Mapping[str, Any]) -> str | None:
        own = mine(dict(entry))
        return None if own is None else form.show(own)

    return FlagTarget(
        Disposition.LANDS,
        path,
        lambda draft, value: draft.add(path, form.read(value, draft.warn)),
        show,
        iter,
    )


def aside(name: str, path: str) -> FlagTarget:
    """Keep it for the rules, which let it act on ``path``."""
    return FlagTarget(Disposition.LANDS, path, told(name).apply)


def told(name: str) -> FlagTarget:
    """Keep it beside the specification."""

    def apply(draft: Draft, value: str) -> None:
        if not value.strip():
            raise ValueError(
                f"{value!r}; allowed: a text that is not empty. Leave the flag out for none"
            )
        draft.told[name] = sendable(value)

    return FlagTarget(Disposition.ARGUMENT, name, apply)


def idle(reason: str) -> FlagTarget:
    """Warn that it means nothing here."""
    return FlagTarget(
        Disposition.IDLE, reason, lambda draft, value: draft.warn(f"left out: {reason}")
    )


def refused(reason: str) -> FlagTarget:
    """Refuse it; the value is not shown, for it may be a secret."""

    def apply(draft: Draft, value: str) -> None:
        raise ValueError(reason)

    return FlagTarget(Disposition.REFUSED, reason, apply)

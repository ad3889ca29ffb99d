"""The targets that flag tables name: a key of the specification, an argument, a warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import Disposition, FlagTarget, Show, Takes
from airflow_runai.core.command_line.form import Form
from airflow_runai.core.command_line.values import pair, seconds, show_pair, without_byte
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.values import sendable


def custom(path: str, apply: Callable[[Draft, str], None], takes: Takes = Takes.ONE) -> FlagTarget:
    """Read the value with ``apply``; another flag writes ``path`` back."""
    return FlagTarget(Disposition.SPEC, path, apply, takes)


def spec_key(
    path: str,
    read: Callable[[str], Any] = str,
    show: Show = str,
    takes: Takes = Takes.ONE,
) -> FlagTarget:
    """Set one key of the specification."""

    def apply(draft: Draft, value: str) -> None:
        draft.put(path, read(value))

    return FlagTarget(Disposition.SPEC, path, apply, takes, show)


def switch(path: str) -> FlagTarget:
    """Set a boolean key."""
    return spec_key(path, show=lambda value: "" if value else "=false", takes=Takes.NOTHING)


def constant(path: str, value: Any, show: Show | None = None) -> FlagTarget:
    """Set a key to a fixed value if the flag is on."""

    def apply(draft: Draft, on: str) -> None:
        # Off is not the opposite: the flag is then as good as absent.
        if on == "true":
            draft.put(path, value)

    return FlagTarget(Disposition.SPEC, path, apply, Takes.NOTHING, show)


def duration(path: str) -> FlagTarget:
    """Set a key to the seconds of a duration."""
    return spec_key(path, seconds, lambda value: f"{value}s")


def memory(path: str, check: Callable[[str], None] | None = None) -> FlagTarget:
    """Set a quantity of memory; ``10GB`` becomes ``10G`` with a warning."""

    def apply(draft: Draft, value: str) -> None:
        quantity = without_byte(value)
        # First, because its error explains what a quantity is.
        draft.put(path, quantity)
        if check:
            check(quantity)
        if quantity != value:
            draft.warn(
                f"read as {quantity}: a quantity has no B in Kubernetes, "
                "the command line would refuse it"
            )

    return FlagTarget(Disposition.SPEC, path, apply, show=str)


def texts(path: str, split: Callable[[str], list[str]] = lambda value: [value]) -> FlagTarget:
    """Append to a list of texts."""

    def apply(draft: Draft, value: str) -> None:
        draft.add(path, *split(value))

    return FlagTarget(Disposition.SPEC, path, apply, Takes.MANY, str, iter)


def named(path: str) -> FlagTarget:
    """Set one name of a mapping, from ``KEY=VALUE``."""

    def apply(draft: Draft, value: str) -> None:
        draft.name(path, *pair(value))

    return FlagTarget(Disposition.SPEC, path, apply, Takes.MANY, show_pair, dict.items)


def entries(
    path: str, form: Form, own: Callable[[JsonObject], JsonObject | None] = dict
) -> FlagTarget:
    """
    Append an entry to a list.

    :param own: returns an entry in the spelling of ``form``, or ``None`` if another flag is for it.
    """

    def apply(draft: Draft, value: str) -> None:
        draft.add(path, form.read(value, draft.warn))

    def show(entry: JsonMapping) -> str | None:
        spelled = own(dict(entry))
        return None if spelled is None else form.show(spelled)

    return FlagTarget(Disposition.SPEC, path, apply, Takes.MANY, show, iter)


def by_rules(path: str, takes: Takes) -> FlagTarget:
    """Leave the value to the rules, which read it from the scanned line."""
    return custom(path, lambda draft, value: None, takes)


def deferred(name: str, path: str, takes: Takes = Takes.ONE) -> FlagTarget:
    """Keep the value for the rules, which let it act on ``path``."""
    return custom(path, outside_spec(name).apply, takes)


def outside_spec(argument: str, key: str = "") -> FlagTarget:
    """Keep the value beside the specification, as an argument of the operator."""

    def apply(draft: Draft, value: str) -> None:
        if not value.strip():
            raise ValueError(
                f"{value!r}; allowed: a text that is not empty. Leave the flag out for none"
            )
        draft.outside_spec[key or argument] = sendable(value)

    return FlagTarget(Disposition.ARGUMENT, argument, apply)


def ignored(reason: str, takes: Takes = Takes.ONE) -> FlagTarget:
    """Warn that the flag has no meaning here."""

    def apply(draft: Draft, value: str) -> None:
        draft.warn(f"left out: {reason}")

    return FlagTarget(Disposition.IGNORED, reason, apply, takes)


def refused(reason: str, takes: Takes = Takes.ONE) -> FlagTarget:
    """Refuse the flag; its value is not shown, because it may be a secret."""

    def apply(draft: Draft, value: str) -> None:
        raise ValueError(reason)

    return FlagTarget(Disposition.REFUSED, reason, apply, takes)

"""The tables of what becomes of a specification on Kubernetes, from the code's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from airflow_runai.core.manifests import DIALECTS, MAPPING, REFUSALS
from airflow_runai.core.manifests.field_places import KINDS, PLACES

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


def places(table: Table) -> str:
    """Return where each field goes."""
    rows = [
        (
            f"`{row.field}`",
            ", ".join(f"`{place}`" for place in row.places) or "–",
            _some(row.dialects, len(DIALECTS)) or _some(row.kinds, len(KINDS)),
            row.remark,
        )
        for row in MAPPING
    ]
    return table(("key", "where", "only for", "remark"), rows)


def words(table: Table) -> str:
    """Return what the first word of a place means."""
    names = dict.fromkeys(name for kind in KINDS for name in PLACES[kind])
    meant = {name: [PLACES[kind].get(name) for kind in KINDS] for name in names if name != "claim"}
    rows = [
        (f"`{name}`", *(f"`{path}`" if path else "–" for path in meant[name])) for name in meant
    ]
    return table(("word", *KINDS), rows)


def refusals(table: Table) -> str:
    """Return what cannot be expressed."""
    rows = [
        (
            f"`{row.field}`",
            row.values or "any",
            _some(row.dialects, len(DIALECTS)) or "all",
            row.allowed,
        )
        for row in REFUSALS
        if row.code != "master"
    ]
    masters = ", ".join(
        f"`{row.field.rpartition('.')[2]}`" for row in REFUSALS if row.code == "master"
    )
    (allowed,) = {row.allowed for row in REFUSALS if row.code == "master"}
    rows.append(("`distributed.master`", f"with {masters}", "all", allowed))
    return table(("key", "values", "dialects", "what is allowed, and what to do"), rows)


def dialects(table: Table) -> str:
    """Return the dialects and what each writes besides the fields."""
    rows = [
        (
            f"`{dialect.name}`",
            dialect.meaning,
            f"`{dialect.scheduler}`" if dialect.scheduler else "the cluster's own",
            ", ".join(f"`{label}`" for label in dialect.queue_labels) or "–",
            "yes" if dialect.suspended else "no",
        )
        for dialect in DIALECTS.values()
    ]
    head = ("dialect", "for", "scheduler", "labels with the queue", "created suspended")
    return table(head, rows)


def _some(names: Sequence[str], count: int) -> str:
    return ", ".join(f"`{name}`" for name in names) if len(names) < count else ""

"""Checks of a query for checkpoints that need not read any."""

from __future__ import annotations

from airflow_runai.errors import InvalidArgument


def check_accept(accept: object) -> None:
    """Refuse codes of findings that cannot be accepted."""
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.checking.findings import ACCEPTABLE

    if not isinstance(accept, list | tuple | set | frozenset) or not ACCEPTABLE.issuperset(accept):
        raise InvalidArgument(
            [f"accept: {accept!r}; allowed: any of {', '.join(sorted(ACCEPTABLE))}"]
        )


def check_level(level: object) -> None:
    """Refuse a level that does not exist when the DAG is parsed."""
    if level not in (0, 1, 2, 3):
        raise InvalidArgument(
            [f"level: {level!r}; allowed: 0 listing, 1 structure, 2 integrity, 3 content"]
        )


def check_on_invalid(action: object) -> None:
    """Refuse an unknown action on invalid checkpoints when the DAG is parsed."""
    if action not in ("keep", "quarantine"):
        raise InvalidArgument([f"on_invalid: {action!r}; allowed: 'keep' or 'quarantine'"])

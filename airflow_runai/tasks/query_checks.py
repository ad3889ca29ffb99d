"""What of a question about checkpoints can be refused before anything is read."""

from __future__ import annotations

from airflow_runai.errors import SpecError

__all__ = ["check_accept", "check_level"]


def check_accept(accept: object) -> None:
    """Refuse codes that cannot be accepted before anything is read."""
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.checking.findings import ACCEPTABLE

    if not isinstance(accept, list | tuple | set | frozenset) or not ACCEPTABLE.issuperset(accept):
        raise SpecError([f"accept: {accept!r}; allowed: any of {', '.join(sorted(ACCEPTABLE))}"])


def check_level(level: object) -> None:
    """Refuse a level that does not exist when the DAG is parsed."""
    if level not in (0, 1, 2, 3):
        raise SpecError(
            [f"level: {level!r}; allowed: 0 listing, 1 structure, 2 integrity, 3 content"]
        )

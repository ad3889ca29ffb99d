"""Whether Airflow has yet to render a value. Nothing here reads or renders Jinja."""

from __future__ import annotations

#: Any of them opens an expression, a statement or a comment; ``{`` alone is plain text.
OPENINGS = ("{{", "{%", "{#")


def is_templated(text: str) -> bool:
    """Return whether Airflow will still render ``text``."""
    return any(opening in text for opening in OPENINGS)

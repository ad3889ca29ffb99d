"""Whether Airflow has yet to render a value, and what it leaves as it is; nothing renders here."""

from __future__ import annotations

import json

#: Any of them opens an expression, a statement or a comment; ``{`` alone is plain text.
OPENINGS = ("{{", "{%", "{#")


def is_templated(text: str) -> bool:
    """Return whether Airflow will still render ``text``."""
    return any(opening in text for opening in OPENINGS)


class PlainText(str):
    """A template that renders to a text, also in a DAG that renders ``7`` to a number."""

    __slots__ = ()


def literal(text: str) -> PlainText:
    """Return a template that renders to ``text``, whatever is in it."""
    # Jinja also changes the ends of lines.
    is_plain = not is_templated(text) and "\n" not in text and "\r" not in text
    return PlainText(text if is_plain else f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}")

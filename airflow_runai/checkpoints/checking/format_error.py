"""How a parser gives up on one file, and how messages quote what a file says."""

from __future__ import annotations

from airflow_runai.errors import RunaiError


class FormatError(RunaiError):
    """
    A parser cannot go on with this file; never leaves ``checkpoints``.

    :param code: a key of :data:`~airflow_runai.checkpoints.checking.findings.CODES`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def shown(value: object) -> str:
    """Render a value that came out of a file: quoted, on one line, at most 80 characters."""
    # Never of a container: rendering a deeply nested one would exhaust the stack.
    if isinstance(value, str | int | float | bytes | None):
        text = repr(value)
    else:
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."

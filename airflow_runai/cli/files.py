"""Small files that are named on the command line: whole, or a sentence that says why not."""

from __future__ import annotations

from pathlib import Path

from airflow_runai.cli.exit_codes import UsageError


def read_small_file(path: Path, limit: int, option: str) -> bytes:
    """
    Read a regular file: a pipe or device could keep us for ever.

    :param limit: size in bytes that is not exceeded.
    :param option: where the path was given, for the message.
    :raises Misuse: naming option, path and reason.
    """
    try:
        if not path.is_file():
            found = (
                "a folder"
                if path.is_dir()
                else "no regular file"
                if path.exists()
                else "no such file"
            )
            raise UsageError(f"{option} {path}: {found}; allowed: a file that can be read")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be read: {error.strerror or error}") from None
    if len(content) > limit:
        raise UsageError(
            f"{option} {path}: larger than {limit} bytes; allowed: a small file of text"
        )
    return content

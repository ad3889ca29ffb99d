"""Small files named on the command line: their content, or one sentence that says what is wrong."""

from __future__ import annotations

from pathlib import Path

from airflow_runai.cli.exit_codes import UsageError


def read_small_file(path: Path, max_bytes: int, option: str) -> bytes:
    """
    Read a regular file; a pipe or a device might never end.

    :param max_bytes: the largest size that is accepted.
    :param option: where the path was given, for the message.
    :raises UsageError: naming option, path and reason.
    """
    place = f"{option} {path}"
    try:
        if not path.is_file():
            raise UsageError(f"{place}: {_file_type(path)}; allowed: a file that can be read")
        with path.open("rb") as file:
            # One byte more tells a larger file from one that just fits.
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"{place}: cannot be read: {error.strerror or error}") from None
    if len(content) > max_bytes:
        raise UsageError(f"{place}: larger than {max_bytes} bytes; allowed: a small text file")
    return content


def _file_type(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "not a regular file" if path.exists() else "no such file"

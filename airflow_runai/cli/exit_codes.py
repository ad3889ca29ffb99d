"""
How every command ends: its exit code, and errors as one sentence each.

0: fine. 1: something was found, or went wrong. 2: wrong usage. 130: Ctrl-C, as in every shell. Our
own errors never show a traceback: their text says what to do.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_runai.errors import InvalidArgument, RunaiError

if TYPE_CHECKING:
    from argparse import Namespace


class UsageError(RunaiError):
    """The arguments do not fit together; the message says what would."""


def command(run: Callable[[Namespace], int]) -> Callable[[Namespace], None]:
    """
    Turn a function that returns an exit code into what Airflow calls.

    Raises ``SystemExit`` if the code is not 0, because Airflow ignores what a command returns.
    """

    @functools.wraps(run)
    def main(arguments: Namespace) -> None:
        code = _exit_code(run, arguments)
        if code:
            sys.exit(code)

    return main


def _exit_code(run: Callable[[Namespace], int], arguments: Namespace) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Some terminals cannot show "…", and some arguments are not valid text.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _without_log():
            code = run(arguments)
        # Here, so that a closed pipe is noticed while it can be handled.
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough. Without this, Python complains again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunaiError as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def error_text(error: RunaiError) -> str:
    """Return an error's problems, one a line; no command submits, so that needs no saying."""
    return "\n".join(error.problems) if isinstance(error, InvalidArgument) else str(error)


def print_error(error: RunaiError, prefix: str = "") -> None:
    """Print an error, with ``prefix`` before each of its problems."""
    for line in error_text(error).splitlines():
        print(f"error: {prefix}{line}", file=sys.stderr)


@contextmanager
def _without_log() -> Iterator[None]:
    """Silence what Airflow logs at ``INFO`` and below, and Python's warnings."""
    previous = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)

"""
How every command ends: its exit code, and what goes wrong as one sentence.

0: fine. 1: something was found, or went wrong. 2: the command was not used as it is meant. 130:
Ctrl-C, as in every shell. Never a traceback for an error of ours: those say what to do.
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


class Misuse(RunaiError):
    """The words after the command make no sense together; the message says what would."""


def command(run: Callable[[Namespace], int]) -> Callable[[Namespace], None]:
    """
    Make what Airflow calls of a function that returns an exit code.

    Leaves by ``SystemExit`` if the code is not 0, because Airflow looks at nothing that a command
    returns.
    """

    @functools.wraps(run)
    def main(arguments: Namespace) -> None:
        code = _code(run, arguments)
        if code:
            sys.exit(code)

    return main


def _code(run: Callable[[Namespace], int], arguments: Namespace) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a terminal without "…", a word that is no text
    try:
        with _quiet():
            code = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough; without this Python complains once more when it
        # flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Misuse as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunaiError as error:
        complain(error)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def sentence(error: RunaiError) -> str:
    """Say what went wrong, one mistake a line; that nothing was submitted needs no saying: no command submits."""
    return "\n".join(error.problems) if isinstance(error, InvalidArgument) else str(error)


def complain(error: RunaiError, where: str = "") -> None:
    """Print what went wrong; ``where`` goes before each mistake."""
    for line in sentence(error).splitlines():
        print(f"error: {where}{line}", file=sys.stderr)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what Airflow tells on the way; warnings of the log are still shown."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

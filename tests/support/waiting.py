"""Waiting for what other threads and processes do: by looking, never by sleeping for luck."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tests.support.patience import PATIENCE, Patience

__all__ = ["eventually", "outlasts_steps", "pauses", "wait_until"]

T = TypeVar("T")
#: Seconds of processor time that a wait may cost: what polls for ever uses a little all the time.
WORK = 60.0


def wait_until(
    look: Callable[[], T | None],
    what: str | Callable[[], str] = "what the test waits for",
    work: float = WORK,
) -> T:
    """
    Look again and again until something true is seen, and return it.

    :param what: what is waited for, for the failure's text, or a function that says it then.
    :param work: seconds of processor time that it may cost, with all that runs beside it.
    :raises AssertionError: if it does not come while there is patience; says what was seen last.
    """
    seen = None
    for pause in pauses(work=work):
        seen = look()
        if seen:
            return seen
        time.sleep(pause)
    raise AssertionError(f"{what if isinstance(what, str) else what()}; seen last: {seen!r}")


async def eventually(look: Callable[[], object], what: str = "what the test waits for") -> None:
    """Wait as :func:`wait_until` does, without blocking the event loop."""
    for pause in pauses():
        if look():
            return
        await asyncio.sleep(pause)
    raise AssertionError(what)


def outlasts_steps(process: subprocess.Popen[bytes], steps: int = 25) -> bool:
    """
    Tell whether a process is still there when a shell beside it has taken some steps of 20 ms.

    On a busy machine the shell is as slow as the process, so that waiting in vain proves as much
    there as elsewhere.
    """
    script = f"i=0; while [ $i -lt {steps} ]; do sleep 0.02; i=$((i + 1)); done"
    with subprocess.Popen(["sh", "-c", script]) as shell:
        while shell.poll() is None and process.poll() is None:
            time.sleep(0.005)
        shell.kill()
    return process.returncode is None


def pauses(seconds: float = PATIENCE, work: float = WORK) -> Iterator[float]:
    """Yield the seconds to sleep between looks, longer and longer, until there is no patience left."""
    patience, pause = Patience(seconds, work), 0.01
    while not patience.is_over():
        yield pause
        pause = min(pause * 1.1, 0.2)

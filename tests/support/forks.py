"""
Python programs as forks of a process that has imported already what they need.

PyTorch with its Trainers costs seconds of processor time at each start. A fork costs nothing of
that, and is a process of its own all the same: it has its own signals, environment, directory and
output, and can be killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import Connection

__all__ = ["Fork", "imported_first"]

_CONTEXT = multiprocessing.get_context("forkserver")


def imported_first(modules: Iterable[str]) -> None:
    """Start the process that forks, with modules of which some may be missing; only the first call decides."""
    forkserver.set_forkserver_preload(list(modules))
    forkserver.ensure_running()


class Fork:
    """
    A function that runs in a process of its own: of ``subprocess.Popen`` what tests need.

    :param environment: takes the place of the whole environment.
    :param folder: the directory in which it runs.
    """

    def __init__(
        self,
        call: Callable[..., object],
        *arguments: object,
        environment: Mapping[str, str],
        folder: os.PathLike[str],
    ) -> None:
        reader, writer = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=_run, args=(writer, dict(environment), str(folder), call, arguments), daemon=True
        )
        self._process.start()
        writer.close()
        #: What it prints, errors too.
        self.stdout = os.fdopen(os.dup(reader.fileno()), errors="replace")
        reader.close()

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self._process.pid or 0, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        """Wait for its end; return its exit code, negative for the signal that ended it."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def finish(self) -> tuple[str, int]:
        """Wait for its end; return all that it printed from now on, and the exit code."""
        with self.stdout:
            return self.stdout.read(), self.wait()


def _run(
    output: Connection,
    environment: dict[str, str],
    folder: str,
    call: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    call(*arguments)

"""One of Airflow's processes with all its children, as an operator of Airflow would handle (and mishandle) it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

#: How long (seconds) a component may take to end by itself, before it is killed.
GRACE = 4.0


class Component:
    """
    A running ``airflow`` command in a process group of its own.

    :param arguments: such as ``("triggerer", "--skip-serve-logs")``.
    :param log: where its output goes.
    """

    def __init__(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path
    ) -> None:
        self.arguments = arguments
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *arguments],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def processes(self) -> set[int]:
        """Ids of its processes: its own, and those of its children."""
        own = psutil.Process(self._process.pid)
        return {own.pid, *(child.pid for child in own.children(recursive=True))}

    def titles(self) -> list[str]:
        """What its processes call themselves."""
        titles = []
        for pid in self.processes():
            with contextlib.suppress(psutil.Error):
                titles.append(" ".join(psutil.Process(pid).cmdline()))
        return titles

    def freeze(self) -> None:
        """Stop all its processes in the middle of whatever they do, as a starved node does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End all its processes at once, as a lost node does."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it in good order, or else by force; its children too, which Airflow does not always wait for."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

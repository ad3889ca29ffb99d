"""
The processes of one cluster: started into a folder, found again by any other process, and never left behind.

A pid says little: after a reboot it may belong to anybody. So each process carries the folder of
its cluster in its environment, and only a process that does is believed, signalled or counted. What
the cluster's own processes start inherits that mark; :func:`sweep` finds it, too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

__all__ = ["MARK", "NODE", "Processes", "kill", "marked", "sweep"]

#: The environment variable that says to which cluster a process belongs: the cluster's folder.
MARK = "RUNAI_RIG_FOLDER"
#: And which part of it; only the parts have one, not what they start.
PART = "RUNAI_RIG_PART"
#: The node that a process runs on, if any, so that a whole machine can be lost: the kubelet's
#: folder.
NODE = "RUNAI_RIG_NODE"
ROOT = Path(__file__).resolve().parents[2]
#: Nothing is left when nothing was seen so often: while a process replaces its program, Linux shows
#: no environment.
LOOKS = 2


class Processes:
    """
    The parts of one cluster by name.

    :param folder: the cluster's folder; pids and logs are written below it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        for part in ("pids", "logs"):
            (folder / part).mkdir(parents=True, exist_ok=True)

    def start(
        self, name: str, command: Sequence[str | Path], more: Mapping[str, str] | None = None
    ) -> None:
        """Start a part in a session of its own; its output is appended to ``logs/NAME.log``."""
        environment = _environment(self._folder) | {PART: name} | dict(more or {})
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._folder,
                start_new_session=True,
            )
        self._children[name] = child
        self._pid_file(name).write_text(str(child.pid))

    def log(self, name: str) -> Path:
        """Where a part's output goes."""
        return self._folder / "logs" / f"{name}.log"

    def last_words(self, name: str, lines: int = 12) -> str:
        """Return the end of a part's output."""
        text = self.log(name).read_text(errors="replace") if self.log(name).exists() else ""
        return "\n".join(line[:400] for line in text.splitlines()[-lines:])

    def find(self, name: str) -> psutil.Process | None:
        """Return a part's process if it runs; a pid of another boot, or of a stranger, is no such process."""
        child = self._children.get(name)
        if child is not None and child.poll() is None:
            # Its environment reads as empty while it turns into its program.
            return psutil.Process(child.pid)
        try:
            process = psutil.Process(int(self._pid_file(name).read_text()))
            environment = process.environ()
        except (OSError, ValueError, psutil.Error):
            return None
        mine = environment.get(MARK) == str(self._folder) and environment.get(PART) == name
        return process if mine and process.status() != psutil.STATUS_ZOMBIE else None

    def names(self) -> list[str]:
        """All parts that were ever started and not stopped on purpose."""
        return sorted(file.name for file in (self._folder / "pids").iterdir())

    def stop(self, name: str, grace: float = 5.0, number: int = signal.SIGTERM) -> None:
        """
        End a part: SIGTERM, and SIGKILL after the grace in seconds.

        One that has ended is no error.
        """
        process = self.find(name)
        if process is not None:
            _end([process], grace, number)
        self._reap(name)
        self._pid_file(name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Collect the ends of children that :func:`sweep` has killed."""
        for name in list(self._children):
            self._reap(name)

    def _reap(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            child.wait()

    def _pid_file(self, name: str) -> Path:
        return self._folder / "pids" / name


def marked(folder: Path, mark: str = MARK) -> list[psutil.Process]:
    """Find every living process that carries a folder's mark, as of a cluster or, with :data:`NODE`, of a node."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get(mark) == str(folder)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(folder: Path, mark: str = MARK) -> None:
    """End everything that carries a mark, at once, and what it starts meanwhile."""
    looks = 0
    while looks < LOOKS:
        left = marked(folder, mark)
        _end(left, 0, signal.SIGKILL)
        looks = 0 if left else looks + 1


def sweep(folder: Path) -> None:
    """End everything that belongs to a cluster, at once, and remove its folder."""
    kill(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _end(processes: list[psutil.Process], grace: float, number: int) -> None:
    for process in processes:
        _signal(process, number)
    _, alive = psutil.wait_procs(processes, timeout=grace) if grace else ([], processes)
    for process in alive:
        _signal(process, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(_lives(process) for process in alive) and time.monotonic() < deadline:
        time.sleep(0.01)


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _environment(folder: Path) -> dict[str, str]:
    """
    Give only what is needed: a developer's proxies and kubeconfigs must not reach the cluster.
    """
    programs = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    return {
        "PATH": programs,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        MARK: str(folder),
    }

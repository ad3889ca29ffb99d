"""
The containers of a pod on disk: for each attempt to run one a folder, and the processes that belong to it.

In an attempt's folder: ``lock``, held by the shim as long as it lives; ``started`` and ``ended``,
written by it; ``log``; ``oom``, if the stand-in killed it for its memory. So nothing has to be
remembered, and no process id is believed that the kernel may have given to another: while the shim
lives, its child's id is taken.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.rig.kubelet import shim
from tests.rig.kubelet.statuses import Ended, Running, lost

__all__ = ["Container", "Containers"]

SETTLING_SECONDS = 0.005


class Container:
    """
    An attempt to run a container: run by this process, by one before it, or not yet.

    :param folder: ``POD UID/containers/NAME/ATTEMPT``; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.parent.name
        self.log = folder / "log"
        self._shim: subprocess.Popen[bytes] | None = None

    @property
    def identity(self) -> str:
        """The container's id, as containerd writes it."""
        place = "/".join(self.folder.parts[-4:])
        return f"containerd://{hashlib.sha256(place.encode()).hexdigest()}"

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path
    ) -> None:
        """Run a command; it has started, or failed to, when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        program = [sys.executable, "-I", "-S", shim.__file__, *command]
        with self._lock() as lock, (self.folder / "shim.log").open("wb") as words:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._shim = subprocess.Popen(
                program,
                cwd=directory,
                env={**environment, "SHIM_FOLDER": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        self._settle()

    def state(self) -> Running | Ended | None:
        """Tell what is known; None if it never started."""
        alive = self._settle()
        started, ended = self._read("started"), self._read("ended")
        since = started.get("at")
        if ended:
            return self._ended(ended, since)
        if since is None:
            return None
        return (
            Running(self.identity, since)
            if alive
            else lost(self.identity, self.log.stat().st_mtime, since)
        )

    def signal(self, number: int) -> None:
        """Signal the command's process group, if it still runs."""
        if self._alive():
            with contextlib.suppress(ProcessLookupError, PermissionError, KeyError):
                os.killpg(self._read("started")["pid"], number)

    def kill_for_memory(self) -> None:
        """Do what the node does to a container that takes too much."""
        (self.folder / "oom").touch()
        self.signal(signal.SIGKILL)

    def wait(self) -> None:
        """Return when it has ended."""
        with self._lock() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
        if self._shim:
            self._shim.wait()

    def _ended(self, ended: Mapping[str, Any], since: float | None) -> Ended:
        code, message = ended["code"], ended.get("error", "")
        reason = "StartError" if message else "Error" if code else "Completed"
        if (self.folder / "oom").exists() and code == 128 + signal.SIGKILL:
            reason = "OOMKilled"
        return Ended(self.identity, code, reason, ended["at"], since, message)

    def _settle(self) -> bool:
        """Wait until the shim has said something or is gone; return whether it lives."""
        while (alive := self._alive()) and not (self._read("started") or self._read("ended")):
            time.sleep(SETTLING_SECONDS)
        return alive

    def _alive(self) -> bool:
        if not self.folder.exists():
            return False
        with self._lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _lock(self) -> IO[bytes]:
        return (self.folder / "lock").open("ab")

    def _read(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads((self.folder / name).read_text()))
        return {}


class Containers:
    """
    All containers of a pod.

    :param folder: the pod's own, absolute; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "containers"

    def attempts(self, name: str) -> list[Container]:
        """List the attempts to run one container, oldest first."""
        found = sorted((self._folder / name).glob("*"), key=lambda path: int(path.name))
        return [Container(path) for path in found]

    def next(self, name: str) -> Container:
        """Return the attempt that is to be made: the last, if it never started, or one more."""
        runs = self.attempts(name)
        if runs and runs[-1].state() is None:
            return runs[-1]
        return Container(self._folder / name / str(len(runs)))

    def running(self) -> list[Container]:
        """List what runs."""
        last = [self.attempts(path.name)[-1:] for path in self._folder.glob("*")]
        return [run for runs in last for run in runs if isinstance(run.state(), Running)]

    def kill(self) -> None:
        """Kill what runs, and return when it is gone."""
        running = self.running()
        for run in running:
            run.signal(signal.SIGKILL)
        for run in running:
            run.wait()

"""
One attempt to run a container: a folder, and the processes that belong to it.

In the folder: ``lock`` (held by the shim as long as it lives), ``started`` and ``ended`` (written by it), ``log``, and
``oom`` if the stand-in killed it for its memory. So nothing has to be remembered, and no process id is believed that
the kernel may have given to another: while the shim lives, its child's id is taken.
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
from typing import Any

from tests.rig.kubelet import shim
from tests.rig.kubelet.statuses import Ended, Running, lost

__all__ = ["Container", "attempts"]

SETTLING_SECONDS = 0.005


class Container:
    """
    An attempt, run by this process, by one before it, or not yet.

    :param folder: ``POD UID/containers/NAME/ATTEMPT``; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self._shim: subprocess.Popen[bytes] | None = None

    @property
    def identity(self) -> str:
        """The container's id, as containerd writes it."""
        place = "/".join(self.folder.parts[-4:])
        return f"containerd://{hashlib.sha256(place.encode()).hexdigest()}"

    def start(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        """Run a command; it has started, or failed to, when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        program = [sys.executable, "-I", "-S", shim.__file__, *command]
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._shim = subprocess.Popen(
                program,
                cwd=directory,
                env={**environment, "SHIM_FOLDER": str(self.folder.absolute())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=(self.folder / "shim.log").open("wb"),
                start_new_session=True,
                pass_fds=[lock],
            )
        finally:
            os.close(lock)
        self._settle()

    def state(self) -> Running | Ended | None:
        """Tell what is known; None if it never started."""
        alive = self._settle()
        started, ended = self._read("started"), self._read("ended")
        since = started.get("at")
        if ended:
            return self._ended(ended, since)
        if since is None or alive:
            return None if since is None else Running(self.identity, since)
        return lost(self.identity, since, self._missed())

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
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)
        if self._shim:
            self._shim.wait()

    def _ended(self, ended: Mapping[str, Any], since: float | None) -> Ended:
        code, message = ended["code"], ended.get("error", "")
        reason = "StartError" if message else "Error" if code else "Completed"
        if (self.folder / "oom").exists() and code == 128 + signal.SIGKILL:
            reason = "OOMKilled"
        return Ended(self.identity, code, reason, ended["at"], since, message)

    def _missed(self) -> float:
        """Return when it was first found to be gone."""
        mark = self.folder / "lost"
        if not mark.exists():
            mark.touch()
        return mark.stat().st_mtime

    def _settle(self) -> bool:
        """Wait until the shim has said something or is gone; return whether it lives."""
        while (alive := self._alive()) and not (self._read("started") or self._read("ended")):
            time.sleep(SETTLING_SECONDS)
        return alive

    def _alive(self) -> bool:
        if not self.folder.exists():
            return False
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _open_lock(self) -> int:
        return os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _read(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads((self.folder / name).read_text()))
        return {}


def attempts(folder: Path) -> list[Container]:
    """List the attempts of one container, ``POD UID/containers/NAME``, oldest first."""
    found = sorted((path for path in folder.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
    return [Container(path) for path in found]

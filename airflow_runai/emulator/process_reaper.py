"""
No process outlives the emulator, however it ends.

Each process group is recorded as a file ``run/<pid>`` with the leader's start time. A small
watchdog process waits until its standard input closes, which happens even if the emulator is killed
with SIGKILL, and then kills all recorded groups. The next start does the same first, in case the
watchdog was killed, too.

The parent-death signal of Linux is not enough: it reaches the first process only, not the children
of a start-up script.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


class ProcessReaper:
    """
    Records process groups, and kills those that are left.

    :param folder: for the records.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watchdog: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)

    def hold(self, pid: int) -> None:
        """Record a process group by its leader."""
        if self._watchdog is None:
            self._watchdog = subprocess.Popen(
                [
                    sys.executable,
                    # Isolated, so that it starts quickly whatever the environment says.
                    "-I",
                    "-S",
                    __file__,
                    str(self._folder),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        (self._folder / str(pid)).write_text(started_at(pid))

    def release(self, pid: int) -> None:
        """Forget a process group that has ended."""
        (self._folder / str(pid)).unlink(missing_ok=True)

    def close(self) -> None:
        """
        Kill the groups that are left and end the watchdog.

        It is killed, since it might never notice: a process forked from this one may hold the other
        end of its pipe open.
        """
        sweep(self._folder)
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None


def started_at(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty if that is unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The command's name may hold blanks and brackets, so fields count from its end.
    return stat.rpartition(")")[2].split()[19]


def sweep(folder: Path) -> None:
    """Kill the recorded groups whose leader is still the recorded process; forget all of them."""
    for path in folder.iterdir():
        try:
            pid = int(path.name)
            # A process id is used again by others, with another start time.
            if started_at(pid) == path.read_text():
                os.killpg(pid, signal.SIGKILL)
        except (ValueError, OSError):
            pass
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    sweep(Path(sys.argv[1]))

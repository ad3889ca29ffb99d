"""
Ends a cluster whose owner died: ``python -m tests.rig.janitor FOLDER OWNER``.

A test run that is killed cannot clean up. So each cluster has this process beside it, in a session
of its own. It looks once a second whether the owner lives; the owner ends it when it has cleaned up
by itself.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.rig.processes import ROOT, sweep

SECONDS_PER_LOOK = 1.0


def station(folder: Path) -> subprocess.Popen[bytes]:
    """Put a janitor beside this process; terminate it when the cluster is down, or shall outlive this process."""
    owner = psutil.Process()
    command = [
        sys.executable,
        "-m",
        "tests.rig.janitor",
        str(folder),
        str(owner.pid),
        str(owner.create_time()),
    ]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)


def _lives(pid: int, born: float) -> bool:
    try:
        owner = psutil.Process(pid)
        return owner.create_time() == born and owner.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main(folder: Path, pid: int, born: float) -> None:
    """Wait for the owner's end, then clean up."""
    while _lives(pid, born):
        time.sleep(SECONDS_PER_LOOK)
    sweep(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

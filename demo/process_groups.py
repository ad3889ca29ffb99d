"""Process groups: a process with all its children, which get signals and end together."""

from __future__ import annotations

import contextlib
import os
import signal


def signal_group(pid: int, sent: signal.Signals) -> None:
    """Send a signal to all of a group that are still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, sent)


def group_lives(pid: int) -> bool:
    """Return whether one of a group is alive."""
    with contextlib.suppress(ChildProcessError):  # `make down` is not the parent
        os.waitpid(pid, os.WNOHANG)
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True

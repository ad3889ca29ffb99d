"""
Starting a program with signals as a test wants them, whoever started the tests.

What a signal does is inherited, and stays so: `nohup` lets SIGHUP be ignored, and a shell lets what
it puts in the background ignore SIGINT. A test that sends such a signal would wait for ever.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

_START = """
import os, signal, sys
ignored = [int(number) for number in sys.argv[1].split()]
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
"""


def ignoring(ignored: Sequence[signal.Signals], command: Sequence[str]) -> list[str]:
    """Return the command that starts another as the same process, with SIGINT and SIGHUP ignored or as usual."""
    return [
        sys.executable,
        "-c",
        _START,
        " ".join(str(int(number)) for number in ignored),
        *command,
    ]

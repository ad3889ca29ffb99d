"""Free ports on loopback, outside the range from which the system takes the ports of outgoing connections."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack

__all__ = ["choose"]

#: Linux gives outgoing connections 32768 to 60999. A part that restarts must find its port free.
RANGE = range(20_000, 32_000)


def choose(uses: Sequence[str]) -> dict[str, int]:
    """Choose a free port for each use. Another process may still take one before it is bound."""
    with ExitStack() as held:
        return {use: _bind(held) for use in uses}


def _bind(held: ExitStack) -> int:
    for port in random.sample(RANGE, 200):
        one = held.enter_context(socket.socket())
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise OSError(f"no free port between {RANGE.start} and {RANGE.stop} among 200 tried")

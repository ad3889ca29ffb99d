"""The body of a reply while it comes in: all of it or its end, within limits of size and time."""

from __future__ import annotations

import ctypes
import math
import time

from airflow_runai.core.flow import Request
from airflow_runai.errors import Unreachable, Unreadable

#: Bytes that are read to keep the end of a body; Kubernetes turns a log over at 10 MiB.
ENOUGH = 16 * 1024 * 1024
#: So many time-outs after it was asked for, the end of a body must have come.
PATIENCE = 2


class ReceivedBody:
    """
    Collects a body, or its end.

    A time-out counts from one piece to the next, so a server that sends a little now and then could
    hold a reader for ever. Where only the end is kept, all of it has to come in time.

    :param timeout: seconds between two pieces; ``None`` for no limit.
    """

    def __init__(self, request: Request, timeout: float | None) -> None:
        self.content = bytearray()
        self._request = request
        self._taken = 0
        self._seconds = math.inf if request.keep is None or not timeout else PATIENCE * timeout
        self._until = time.monotonic() + self._seconds

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self.content += piece
        self._taken += len(piece)
        if self._request.keep is None:
            return
        del self.content[: -self._request.keep]
        where = f"{self._request.method} {self._request.path}"
        if self._taken > ENOUGH:
            raise Unreadable(f"{where}: longer than {ENOUGH} bytes")
        if time.monotonic() > self._until:
            raise Unreachable(f"{where}: has not come to its end after {self._seconds:g} s")


def give_back() -> None:
    """
    Return free memory to the system, where the C library can.

    glibc keeps what a large body took at the end of its heap, in case as much is needed again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)

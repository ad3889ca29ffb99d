"""
A deadline that follows progress: a busy machine moves it, a hang does not.

Progress is processor time of this process and of all that it started. A wall clock alone would
measure what else the machine does: beside a second run of the tests everything takes twice as long.
"""

from __future__ import annotations

import time

import psutil

__all__ = ["PATIENCE", "Patience"]

#: Seconds without progress after which it is a hang.
PATIENCE = 240.0
#: Processes that use a smaller share of one processor than this only poll.
IDLE_SHARE = 0.05
#: Seconds before processor time is first counted. Most waits are over by then, and counting is slow.
FREE = 1.0


class Patience:
    """
    Over when the processes stand still for ``seconds``, or work without coming to an end.

    :param seconds: wall time for which to wait at least, and then once more after each progress.
    :param work: seconds of processor time after which no more progress counts.
    """

    def __init__(self, seconds: float = PATIENCE, work: float | None = None) -> None:
        self._seconds, self._work = seconds, seconds if work is None else work
        self._asked = time.monotonic()
        self._deadline = self._asked + min(FREE, seconds / 10)
        self._first: float | None = None
        self._last = 0.0

    def is_over(self) -> bool:
        """Tell whether to give up; to be asked many times while ``seconds`` pass."""
        now = time.monotonic()
        unasked, self._asked = now - self._asked, now
        if unasked > self._seconds / 2:  # the machine stood still, and whoever asks with it
            self._deadline += unasked
        if now < self._deadline:
            return False
        self._deadline = now + self._seconds
        before, self._last = self._last, processor_seconds()
        if self._first is None:
            self._first = self._last
            return False
        stands_still = self._last - before < self._seconds * IDLE_SHARE
        return stands_still or self._last - self._first >= self._work


def processor_seconds() -> float:
    """Return the processor time of this process, of its descendants, and of those that have ended."""
    own, used = psutil.Process(), 0.0
    for process in (own, *own.children(recursive=True)):
        try:
            used += sum(process.cpu_times()[:4])  # its own, and that of children that ended
        except psutil.Error:
            continue
    return used

"""
Progress of a long check: bytes, rate and time left, every few seconds.

Reads no file and writes none; the caller decides where the text goes: :func:`sentence` suits a log,
:func:`bar` a terminal. Give a :class:`Progress` as ``progress`` of
:func:`~airflow_runai.checkpoints.check` or ``select``; each checkpoint begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True)
class ProgressSample:
    """
    The progress of a check at one moment.

    :param name: of the checkpoint.
    :param read: bytes so far.
    :param total: bytes in all, 0 if unknown.
    :param seconds: since it began.
    """

    name: str
    read: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes per second so far."""
        return self.read / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end at this rate; ``None`` while unknown."""
        if not self.total or not self.rate:
            return None
        return max(self.total - self.read, 0) / self.rate

    @property
    def share(self) -> float:
        """
        The fraction that is done, from 0 to 1.

        A header may be read twice, so the count may pass the total.
        """
        return min(self.read / self.total, 1.0) if self.total else 0.0


class Progress:
    """
    Shows the progress of a check at most every few seconds.

    :param show: called with a :class:`ProgressSample`; not at all for a check that ends before the
        first is due.
    :param every: seconds between two moments.
    :param clock: seconds that only rise.
    """

    def __init__(
        self,
        show: Callable[[ProgressSample], None],
        every: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._every = every
        self._clock = clock
        self.begin("", 0)

    def begin(self, name: str, total: int) -> None:
        """Start with the next checkpoint, of ``total`` bytes."""
        # The first moment is due after a whole interval: a short check shows nothing.
        self._name, self._total = name, total
        self._began = self._shown = self._clock()

    def __call__(self, read: int) -> None:
        """Take the number of bytes read since the beginning."""
        now = self._clock()
        if now - self._shown >= self._every:
            self._shown = now
            self._show(ProgressSample(self._name, read, self._total, now - self._began))


def sentence(moment: ProgressSample) -> str:
    """Render it for a log: ``step-00000042: 1024 of 4096 MiB (25 %), 512 MiB/s, 6 s left``."""
    done = f"{moment.name}: {moment.read // _MIB}"
    done += f" of {moment.total // _MIB} MiB ({moment.share:.0%})" if moment.total else " MiB"
    left = "" if moment.left is None else f", {duration(moment.left)} left"
    return f"{done}, {moment.rate / _MIB:.0f} MiB/s{left}".replace("%", " %")


def bar(moment: ProgressSample, width: int = 80) -> str:
    """Render it as one line of a terminal, at most ``width`` characters."""
    left = "" if moment.left is None else duration(moment.left)
    figures = f" {moment.share:4.0%} {moment.rate / _MIB:5.0f} MiB/s {left:>8}"
    name = moment.name[: max(width - len(figures) - 12, 0)]
    room = max(width - len(figures) - len(name) - 3, 0)
    full = round(room * moment.share)
    return f"{name} [{'#' * full}{'.' * (room - full)}]{figures}"[:width]


def duration(seconds: float) -> str:
    """Render seconds as people write them: ``42 s``, ``3 min``, ``1 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

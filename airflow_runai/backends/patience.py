"""
Trying again while the control plane is unreachable or asks to slow down.

Only for what is harmless to repeat. A create is not: ``submission.py`` looks for its workload
before it sends another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from airflow_runai.core.dates import utc
from airflow_runai.core.flow import Flow, Notice, Sleep, now
from airflow_runai.errors import (
    NotResolved,
    QuotaExceeded,
    Refused,
    RunaiError,
    Throttled,
    Unreachable,
    Untrusted,
)

T = TypeVar("T")

#: Pauses (seconds) where somebody waits for the end of a kill, and of looks at lists that lag.
LOOKUP_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0)
#: Ceiling (seconds) of a pause, also of one that the server asks for: a worker is held meanwhile.
MAX_PAUSE = 60.0
#: Seconds for which a submission tries again.
SUBMISSION_PATIENCE = 600.0
#: What is tried again is told at once, and then every so many seconds.
TELL_EVERY = 60.0
#: Shortest pause, and the first ceiling, seconds.
_LEAST, _FIRST_CEILING = 0.5, 2.0
#: Refusals that say more about the identity, or the moment, than about the workload.
_MAY_PASS = (401, 403, 404)


@dataclass(frozen=True)
class Patience:
    """
    For how long a call is tried again.

    :param seconds: since its first failure; 0 for a single attempt.
    :param refusals: outlast those, too, that a rotated secret or an edited access rule explains:
        they must not cost a workload that may be alive.
    """

    seconds: float = SUBMISSION_PATIENCE
    refusals: bool = False

    def retry(self, make: Callable[[], Flow[T]]) -> Flow[T]:
        """
        Run a flow until it returns.

        :param make: returns a fresh flow for each attempt.
        :raises RunaiError: the last failure, when patience ends; what cannot pass, at once.
        """
        outage = Outage(self)
        while True:
            try:
                return (yield from make())
            except RunaiError as error:
                yield from outage.outlast(error)

    def outlasts(self, error: RunaiError) -> bool:
        """Tell whether the trouble may pass."""
        if isinstance(error, Unreachable):
            return not isinstance(error, Untrusted)
        if isinstance(error, QuotaExceeded):
            return True
        if not self.refusals:
            return False
        return isinstance(error, NotResolved) or (
            isinstance(error, Refused) and error.status in _MAY_PASS
        )


@dataclass
class Outage:
    """One call's failures in a row."""

    patience: Patience
    _ceiling: float = field(default=_FIRST_CEILING, init=False)
    _since: float | None = field(default=None, init=False)
    _told_at: float = field(default=-math.inf, init=False)

    def outlast(self, error: RunaiError) -> Flow[None]:
        """
        Tell what is wrong and until when it is tried again, and pause before the next attempt.

        The pause is chosen evenly between next to nothing and a ceiling that doubles (full jitter):
        hundreds of tasks that were told to slow down in the same second must not come back in the
        same second. What the server asks for comes on top, because it asks all of them alike.

        :raises RunaiError: ``error``, if it cannot pass or patience has ended.
        """
        moment = yield from now()
        self._since = moment if self._since is None else self._since
        if not self.patience.outlasts(error) or moment - self._since >= self.patience.seconds:
            raise error
        if moment - self._told_at >= TELL_EVERY:
            self._told_at = moment
            until = utc(self._since + self.patience.seconds)
            yield Notice("retry", f"{error}; trying again until {until}")
        least = _LEAST + asked_pause(error)
        yield Sleep(least, jitter=self._ceiling / least)
        self._ceiling = min(2 * self._ceiling, MAX_PAUSE)


def retry_while_unreachable(make: Callable[[], Flow[T]]) -> Flow[T]:
    """
    Run a flow again after each of :data:`LOOKUP_DELAYS` while the control plane is unreachable.

    :param make: returns a fresh flow for each attempt; repeating it must be harmless.
    """
    for pause in LOOKUP_DELAYS:
        try:
            return (yield from make())
        except Untrusted:
            raise
        except Unreachable as error:
            yield Sleep(max(pause, asked_pause(error)), jitter=0.2)
    return (yield from make())


def asked_pause(error: RunaiError) -> float:
    """Return the seconds that the server asked us to wait, within reason."""
    asked = error.retry_after if isinstance(error, Throttled) else None
    return min(asked or 0.0, MAX_PAUSE)

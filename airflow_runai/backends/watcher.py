"""
One watcher serves all waits of a session: it looks, they sleep until it has news.

The wait that asks for the shortest interval sets the pace for all. How it looks is the matter of
``looks.py``; every tenth look is a full one, because a delta does not show what has vanished.
"""

from __future__ import annotations

import math

from airflow_runai.backends.looks import Looks
from airflow_runai.backends.watched import Watched
from airflow_runai.backends.watched_set import WatchedSet
from airflow_runai.core.flow import Flow, Signal, Wait, now
from airflow_runai.core.waiting import MAX_PAUSE
from airflow_runai.errors import RunaiError

#: A newcomer is looked at after a tenth of the interval, at most after so many seconds: others that
#: start with it share the look.
GATHERING = 1.0
#: So many newcomers are read one by one instead of by a list.
FEW = 5
#: Every so many looks the list is read in full.
FULL_EVERY = 10
#: After more seconds without a good look, a delta may be longer than the list.
LONGEST_DELTA = 600.0
#: What is due within so many seconds is due: clocks are not more exact.
EXACT = 0.001


class Watcher:
    """
    Looks for all registered waits.

    No locks of threads: all flows of one event loop run between their ``yield`` s without
    interruption.
    """

    def __init__(self) -> None:
        self._waits = WatchedSet()
        self._looks = Looks(self._waits)
        self._newcomers: list[Watched] = []
        self._joined = Signal()
        self._early_at: float | None = None
        # Looks at all waits: how many there were, and which was the last in full.
        self._number = self._full_number = 0
        self._looked_at = self._full_at = self._good_at = -math.inf
        self._failures = 0

    def join(self, wait: Watched) -> None:
        """Serve one more wait."""
        self._waits.add(wait)
        self._newcomers.append(wait)
        self._joined.set()

    def leave(self, wait: Watched) -> bool:
        """Forget a wait; return whether others are left."""
        self._waits.discard(wait)
        return len(self._waits) > 0

    def fail(self, error: RunaiError) -> Flow[None]:
        """Tell all waits that there is no answer."""
        yield from self._looks.fail(self._waits, error)

    def run(self) -> Flow[None]:
        """Look, for ever."""
        while True:
            moment = yield from self._until_due()
            if self._next_look(moment) - moment > EXACT:
                yield from self._look_early(moment)
            else:
                yield from self._look(moment)

    def _until_due(self) -> Flow[float]:
        while True:
            self._joined = Signal()
            moment = yield from now()
            left = min(self._next_look(moment), self._early_look(moment)) - moment
            if left <= EXACT:
                return moment
            yield Wait(self._joined, left)

    def _next_look(self, moment: float) -> float:
        """Return when to look at all waits; infinite before the first wait's early look."""
        # A clock that was set back must not keep an old reading alive.
        self._looked_at = min(self._looked_at, moment)
        interval = self._waits.interval
        doubled = interval * 2.0 ** min(max(self._failures - 1, 0), 10)
        pause = min(doubled, max(interval, MAX_PAUSE))
        return self._looked_at + pause if self._number else math.inf

    def _early_look(self, moment: float) -> float:
        """Return when newcomers are looked at, if not by the next look at all; or infinite."""
        if not self._newcomers or self._failures:
            return math.inf
        if self._early_at is None:
            self._early_at = moment + min(GATHERING, self._waits.interval / 10)
        return self._early_at

    def _look_early(self, moment: float) -> Flow[None]:
        self._early_at = None
        if self._number and len(self._newcomers) <= FEW:
            newcomers, self._newcomers = self._newcomers, []
            yield from self._looks.one_by_one(newcomers)
        elif moment - self._full_at >= self._waits.interval:
            yield from self._look(moment)
        else:
            self._early_at = math.inf

    def _look(self, moment: float) -> Flow[None]:
        self._number += 1
        self._looked_at = moment
        self._looks.begin()
        newcomers, self._newcomers, self._early_at = self._newcomers, [], None
        is_current = moment - self._good_at <= LONGEST_DELTA and len(newcomers) <= FEW
        is_delta = is_current and self._number - self._full_number < FULL_EVERY
        if is_delta and self._looks.can_delta and (yield from self._looks.delta(self._good_at)):
            yield from self._looks.one_by_one(newcomers)
        else:
            yield from self._full(moment)
        self._failures = 0 if self._looks.has_answered else self._failures + 1
        if self._looks.error is None:
            self._good_at = moment

    def _full(self, moment: float) -> Flow[None]:
        self._full_number, self._full_at = self._number, moment
        yield from self._looks.full(measure=self._number % FULL_EVERY == 1)

"""Which looks into its log the news of a workload ask for; takes none itself."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from airflow_runai.core.incarnations import Sighting, sighting
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.phases import FINAL, GOING, Meaning, meaning
from airflow_runai.tasks.log_looks import LogLook


class LogAgenda:
    """
    Decides when to look into the log of one workload.

    An incarnation that leaves is looked at before the history is read: in a storm, that may have to
    queue for longer than the pod stays. Only the history tells which incarnation it was; until
    then, the look is *untold*.

    :param is_followed: look at each new incarnation, too.
    :ivar number: the incarnation that was seen to run. A wait that goes on after a restart of its
        process does not know it, nor ``since`` when.
    :ivar ended: the incarnation with which the workload ended; its log is the worker's.
    """

    __slots__ = (
        "_asked",
        "_departs",
        "_is_followed",
        "_is_lost",
        "_last",
        "_leaves",
        "_since",
        "ended",
        "has_heard",
        "number",
    )

    def __init__(self, is_followed: bool) -> None:
        self._is_followed = is_followed
        self.number, self.ended, self._since = 0, 0, inf
        # The newest incarnation whose end was asked for, and the look at it while it is away.
        self._asked = 0
        self._last: LogLook | None = None
        self._departs = self._leaves = self._is_lost = self.has_heard = False

    @property
    def untold(self) -> LogLook | None:
        """The look at what leaves, if the history has still to tell what that is."""
        return None if self._last is None or self._last.is_told else self._last

    def depart(self, seen: JsonMapping) -> Iterator[LogLook]:
        """Take note that an incarnation leaves or has left."""
        self._leaves, self._departs = meaning(str(seen["phase"])) in GOING, True
        if self.untold is None:
            yield self._last_look(self.number, float(seen["since"]), is_told=False)

    def learn(self, news: JsonMapping) -> Iterator[LogLook]:
        """Take note of what a wait says after it has read the history."""
        seen, was_leaving = sighting(news), self._leaves
        self.has_heard, self._leaves = True, seen.kind in GOING
        if self.untold:
            self.untold.number = seen.number
        if seen.kind in FINAL:
            self.ended = seen.number
        elif seen.runs and seen.number > self.number:
            yield from self._run(seen)
        elif self._has_just_left(seen):
            yield from self._leave(seen.number, seen.since, news)
        elif was_leaving and seen.has_left and self._last is not None:
            yield self._last  # some platforms keep a log for a while: its last words came last
        self._departs = False

    def _run(self, seen: Sighting) -> Iterator[LogLook]:
        if self.untold:
            self.untold.number = self.number or max(seen.number - 1, 1)
            self._asked = min(self.untold.number, seen.number - 1)
        elif self._asked < self.number:
            yield from self._leave(self.number, self._since)
        if self._last is not None and self._last.number < seen.number:
            # It has left and come back: what is still to be read is read by its pod's name.
            self._last.until = seen.since
        self._last = None
        self.number, self._since, self._is_lost = seen.number, seen.since, False
        if self._is_followed:
            yield self.present()

    def _has_just_left(self, seen: Sighting) -> bool:
        # Of what is deleted while it waits, the next incarnation never ran.
        is_known = seen.number == self.number or seen.kind is Meaning.LEAVING or self._departs
        has_left = seen.has_left or seen.kind is Meaning.DELETING
        return has_left and is_known and seen.number > self._asked

    def _leave(
        self, number: int, since: float, news: JsonMapping | None = None
    ) -> Iterator[LogLook]:
        self._asked = number
        if self.untold:
            self.untold.news = news
        else:
            yield self._last_look(number, since, news=news)

    def _last_look(
        self, number: int, since: float, *, is_told: bool = True, news: JsonMapping | None = None
    ) -> LogLook:
        moment = min(self._since, since)
        self._last = LogLook(number, moment, is_last=True, is_told=is_told, news=news)
        return self._last

    def present(self) -> LogLook:
        """Return a look at what runs."""
        return LogLook(self.number, inf if self._is_lost else self._since)

    def lose(self) -> None:
        """Take note that the pod with which what runs began is gone; another may go on."""
        self._is_lost = True

    @property
    def may_run(self) -> bool:
        """Whether something runs, as far as known."""
        return self.number > self._asked or not self.has_heard

    def still_leaves(self, look: LogLook) -> bool:
        """Whether what was looked at goes on leaving."""
        return self._leaves and self._last is look

    def forget(self, look: LogLook) -> bool:
        """Look again when it is told, if it is untold; return whether it is."""
        is_untold = look is self.untold
        self._last = None if is_untold else self._last
        return is_untold

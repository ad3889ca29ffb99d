"""
The log of a training in the task log, while the task waits: a companion of the wait.

``tail``: when an incarnation leaves, the end of its log, and what it says until its pod is gone.
``follow``: what is new, too. Where the platform has streams, one is open meanwhile, if there is
room. What has no room here is kept for the worker, within limits. A log that cannot be had is a
sentence, once, and never more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from airflow_runai.core.flow import Notice
from airflow_runai.core.incarnations import sighting
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.log_lines import FOLLOW, OFF, LogPosition
from airflow_runai.core.log_reader import LogPart, UnmaskedPart
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound
from airflow_runai.hooks.sessions import ConnectionKey, one_per_loop
from airflow_runai.tasks.kept_lines import KeptLines
from airflow_runai.tasks.log_agenda import LogAgenda
from airflow_runai.tasks.log_facts import LogEnd
from airflow_runai.tasks.log_fetches import LogFetches
from airflow_runai.tasks.log_listener import HeardLines, LogListener
from airflow_runai.tasks.log_looks import LogLook
from airflow_runai.tasks.log_source import LogSource
from airflow_runai.tasks.log_words import short, tell, title
from airflow_runai.tasks.unshown_logs import UnshownLogs

#: See :class:`LogTail`.
Show = Callable[[JsonMapping, LogEnd, bool], None]
#: Ends of incarnations that wait for their turn; older ones are gone by then.
_WAITING = 3
#: Seconds of the longest pause until the next look at an incarnation that leaves.
_LAST_PAUSE = 16.0
#: One for all: a wait has to be small.
_NOWHERE = LogPosition()
#: Seconds for which what leaves is listened to when the wait is over.
_GOODBYE = 5.0
#: Seconds after which the news of a workload that has just been submitted has come.
_NEWS_TAKE = 10.0


class LogTail:
    """
    Writes the log of one workload, as far as there is room.

    :param get_logs: one of ``core.log_lines.GET_LOGS``.
    :param interval: seconds between two looks of ``follow``.
    :param show: takes news of the workload, the end of its log, and whether it is urgent.
    :ivar is_closed: the wait is over.
    """

    __slots__ = (
        "_agenda",
        "_connection",
        "_headed",
        "_interval",
        "_is_reading",
        "_lines",
        "_listener",
        "_mode",
        "_news",
        "_place",
        "_place_of",
        "_show",
        "_source",
        "_timer",
        "_todo",
        "_unshown",
        "_workload",
        "is_closed",
    )

    def __init__(
        self,
        connection: ConnectionKey,
        workload: Workload,
        get_logs: str,
        interval: float,
        show: Show = lambda news, end, is_urgent: None,
    ) -> None:
        self._connection, self._interval, self._show = connection, interval, show
        # A wait that begins without an id is nobody's training.
        self._mode = get_logs if workload.id else OFF
        # Made when it is needed: thousands of waits never look.
        self._workload = workload
        self._source: LogSource | None = None
        self._agenda = LogAgenda(is_followed=get_logs == FOLLOW)
        # The incarnation whose header was written last.
        self._headed = -1
        # How far the log of which incarnation was seen.
        self._place, self._place_of = _NOWHERE, 0
        self._todo: tuple[LogLook, ...] = ()
        self._unshown = UnshownLogs(self._show_found, self._forget_news)
        self._lines = KeptLines()
        self._listener: LogListener | None = None
        # What was published last: of it a look publishes nothing older.
        self._news: JsonMapping | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_reading = self.is_closed = False

    def hear(self, notice: Notice) -> None:
        """Take note of a change of phase."""
        if notice.kind == "sighting":
            # It may run already, and no news comes: this process has started again.
            self._follow_later(2 * self._interval + _NEWS_TAKE)
        if notice.kind == "departure" and self._mode != OFF:
            self._ask(self._agenda.depart(notice.data))
        elif notice.kind == "timeline" and self._mode != OFF:
            self._learn(notice.data)

    def _learn(self, news: JsonMapping) -> None:
        if not self._agenda.has_heard and self._place.marks:
            # Of what was followed without news.
            self._place_of = self._agenda.number = sighting(news).number
            if self._listener is not None:
                self._listener.look.number = self._place_of
        untold = self._agenda.untold
        self._ask(self._agenda.learn(news))
        if untold is not None:
            self._unshown.tell(untold)

    def published(self, news: JsonMapping) -> None:
        """Take note of what people see of the workload now."""
        if self._is_busy:
            self._news = news

    @property
    def _is_busy(self) -> bool:
        """Whether something may soon be shown."""
        return self._mode == FOLLOW or self._is_reading or bool(self._listener or self._unshown)

    def close(self) -> None:
        """Follow no longer; what was asked for already still comes, within limits."""
        self.is_closed = True
        if self._agenda.untold:
            self._unshown.tell(self._agenda.untold)
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.stop(0.0 if self._is_workers(self._listener.look) else _GOODBYE)

    def rest(self) -> JsonObject:
        """Return what the worker needs to go on, as plain JSON."""
        if self._mode == OFF:
            return {}
        return {**self._lines.to_json(), "number": self._place_of, **self._place.to_json()}

    def _follow_later(self, seconds: float) -> None:
        if self._mode == FOLLOW and not self.is_closed:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._follow)

    def _follow(self) -> None:
        if self._agenda.may_run:
            self._ask([self._agenda.present()])

    def _ask(self, looks: Iterable[LogLook]) -> None:
        for look in looks:
            self._todo = (*self._todo, look)[-_WAITING:]
            if not self._is_reading:
                self._is_reading = True
                one_per_loop(LogFetches).read(self._read_all, is_urgent=look.is_urgent)

    async def _read_all(self) -> None:
        try:
            while self._todo:
                look, *others = self._todo
                self._todo = tuple(others)
                await self._read(look)
        finally:
            self._is_reading = False
            self._forget_news()
        if self._listener is None:
            self._follow_later(self._interval)

    async def _read(self, look: LogLook) -> None:
        if self._listener is not None:
            if self._listener.follow(look):
                return
            self._listener = None
        is_first = self._mode != FOLLOW and look.is_first
        self._source = self._source or LogSource(self._connection, self._workload)
        try:
            found = await self._source.read(look, None if is_first else self._seen(look.number))
            self._unshown.add(look, found)
            self._stay(look, found)
        except Exception as error:  # logs are never a reason to fail
            self._miss(look, error)

    def _stay(self, look: LogLook, found: UnmaskedPart) -> None:
        """Listen to what goes on, if the platform has streams, and there is room for one more."""
        assert self._source is not None, "what was read has a source"
        goes_on = self._agenda.still_leaves(look) if look.is_last else self._mode == FOLLOW
        if goes_on and self._source.has_streams and not self.is_closed:
            end = self._heard, self._end_listening
            listener = LogListener(self._source, look, found.lines, *end)
            self._listener = listener if listener.begin() else None
        if self._listener is None:
            self._look_again_later(look)

    def _end_listening(self, listener: LogListener, error: Exception | None) -> None:
        if error is not None and not isinstance(error, NotFound):
            self._miss(listener.look, error)
        if not isinstance(error, NotFound):
            self._look_again_later(listener.look)
        if self._listener is listener:
            self._listener = None
            self._forget_news()
            self._follow_later(self._interval)

    def _heard(self, listener: LogListener, lines: HeardLines) -> None:
        look = listener.look
        if one_per_loop(LogFetches).has_room:
            self._unshown.add(look, lines.after(look.moment, self._seen(look.number)))
        elif self._listener is listener:
            # Nothing is lost: later looks go on where this one has ended.
            listener.stop()
            self._end_listening(listener, None)

    def _miss(self, look: LogLook, error: Exception) -> None:
        if look.is_first and self._agenda.forget(look):
            return
        if not isinstance(error, NotFound):
            self._lines.complain(self._workload.name, error)
        elif not look.is_last:
            self._agenda.lose()
        elif look.is_first:
            gone = f"the log of incarnation {look.number} is gone with its pod"
            self._lines.say(f"{gone} ({short(error)})")

    def _seen(self, number: int) -> LogPosition:
        """Return how far the log of an incarnation was read, shown or not."""
        shown = self._place if self._place_of == number else _NOWHERE
        return self._unshown.place(number) or shown

    async def _show_found(self, look: LogLook, found: UnmaskedPart) -> None:
        if self._is_workers(look):
            return
        if found.at >= look.until:
            self._overtake(look, found.at)
            return
        try:
            assert self._source is not None, "what was read has a source"
            self._take(look, await self._source.shown(found))
        except NotFound:
            self._overtake(look, found.at)
        except Exception as error:
            self._lines.complain(self._workload.name, error)

    def _overtake(self, look: LogLook, at: float) -> None:
        """Take note that another pod was read; what has left is read by the name of its pod."""
        look.until = min(look.until, at)
        if not look.is_last:
            self._agenda.lose()
        elif self._place_of != look.number:
            self._ask([look.late()])

    def _forget_news(self) -> None:
        if not self._is_busy:
            self._news = None

    def _look_again_later(self, look: LogLook) -> None:
        """What it says while it saves is the most valuable, and its last words come last."""
        if look.is_last and not look.is_late and look.pause <= _LAST_PAUSE:
            asyncio.get_running_loop().call_later(look.pause, self._look_again, look)
            look.pause *= 2

    def _look_again(self, look: LogLook) -> None:
        if self._agenda.still_leaves(look) and not self.is_closed:
            self._ask([look])

    def _is_workers(self, look: LogLook) -> bool:
        """Whether it is left to the worker, which goes on where the last look ended."""
        return self.is_closed and (not look.is_last or look.number == self._agenda.ended)

    def _take(self, look: LogLook, part: LogPart) -> None:
        if self._is_workers(look):
            return
        is_blind = not (look.number or self._place.marks)
        self._place, self._place_of = part.place, look.number
        news = look.news or (self._news if part.lines else None)
        if news is not None:
            end = LogEnd(part.end, look.number, part.node)
            self._show(self._news or news, end, look.news is not None)
            look.news = None
        if is_blind and part.lines:
            tell(["the log is followed from here on; what came before may be missing above"])
            return
        whole, members = part.with_members(title(self._workload.name, look.number))
        lines = whole[1:] if self._headed == look.number else whole
        if lines and self._lines.write(lines, whole):
            self._headed = look.number
        if members and self._lines.write(members, members):
            self._headed = -1

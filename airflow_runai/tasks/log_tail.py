"""
The log of a training in the task log, while the task waits: a companion of the wait.

``tail``: when an incarnation leaves, the end of its log, and what it says until its pod is gone,
and the log with it. ``follow``: what is new, at each interval, too, and the end for people to see
when there is time. What has no room here is kept for the worker, within limits. A log that cannot
be had is a sentence, once, and never more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from airflow_runai.core.flow import Notice
from airflow_runai.core.incarnations import sighting
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.log_lines import FOLLOW, OFF, LogPosition, newest
from airflow_runai.core.log_reader import LINES, LogPart, UnmaskedPart
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound
from airflow_runai.hooks.sessions import ConnectionKey, one_per_loop
from airflow_runai.tasks.log_agenda import LogAgenda
from airflow_runai.tasks.log_facts import LogEnd
from airflow_runai.tasks.log_fetches import LogFetches
from airflow_runai.tasks.log_looks import LogLook
from airflow_runai.tasks.log_source import LogSource
from airflow_runai.tasks.log_words import no_log, short, tell, title
from airflow_runai.tasks.unshown_logs import UnshownLogs

log = structlog.get_logger(logger_name=__name__)

#: See :class:`LogTail`.
Show = Callable[[JsonMapping, LogEnd, bool], None]
#: What is kept for the worker: Airflow stores it in its database.
KEPT_LINES, KEPT_CHARACTERS = 2 * LINES, 16_384
#: Ends of incarnations that wait for their turn; older ones are gone by then.
_WAITING = 3
#: Seconds of the longest pause until the next look at an incarnation that leaves.
_LAST_PAUSE = 16.0
#: One for all: a wait has to be small.
_NOWHERE = LogPosition()
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
        "_complaint",
        "_connection",
        "_headed",
        "_interval",
        "_is_reading",
        "_kept",
        "_left_out",
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
        self._connection, self._interval = connection, interval
        self._show = show
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
        self._unshown = UnshownLogs(self)
        self._kept: tuple[str, ...] = ()
        self._left_out = 0
        self._complaint = ""
        # What was published last: of it a look publishes nothing older.
        self._news: JsonMapping | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_reading = self.is_closed = False

    def hear(self, notice: Notice) -> None:
        """Take note of a change of phase."""
        if notice.kind == "sighting":
            # It may run already, and no news comes: this process has started again.
            self._follow_later(2 * self._interval + _NEWS_TAKE)
        if self._mode == OFF:
            return
        if notice.kind == "departure":
            self._ask_all(self._agenda.depart(notice.data))
        elif notice.kind == "timeline":
            self._learn(notice.data)

    def _learn(self, news: JsonMapping) -> None:
        if not self._agenda.has_heard and self._place.marks:
            # Of what was followed without news.
            self._place_of = self._agenda.number = sighting(news).number
        untold = self._agenda.untold
        self._ask_all(self._agenda.learn(news))
        if untold is not None:
            self._unshown.tell(untold)

    def published(self, news: JsonMapping) -> None:
        """Take note of what people see of the workload now."""
        if self._mode == FOLLOW or self._is_reading or self._unshown:
            self._news = news

    def close(self) -> None:
        """Follow no longer; what was asked for already still comes."""
        self.is_closed = True
        if self._agenda.untold:
            self._unshown.tell(self._agenda.untold)
        if self._timer is not None:
            self._timer.cancel()

    def rest(self) -> JsonObject:
        """Return what the worker needs to go on, as plain JSON."""
        if self._mode == OFF:
            return {}
        return {
            "kept": list(self._kept),
            "left_out": self._left_out,
            "complaint": self._complaint,
            "number": self._place_of,
            **self._place.to_json(),
        }

    def _follow_later(self, seconds: float) -> None:
        if self._mode == FOLLOW and not self.is_closed:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._follow)

    def _follow(self) -> None:
        if self._agenda.may_run:
            self._ask(self._agenda.present())

    def _ask_all(self, looks: Iterable[LogLook]) -> None:
        for look in looks:
            self._ask(look)

    def _ask(self, look: LogLook) -> None:
        self._todo = (*self._todo, look)[-_WAITING:]
        if not self._is_reading:
            self._is_reading = True
            is_urgent = look.is_last and look.is_first
            one_per_loop(LogFetches).read(self._read_all, is_urgent=is_urgent)

    async def _read_all(self) -> None:
        try:
            while self._todo:
                look, *others = self._todo
                self._todo = tuple(others)
                await self._read(look)
        finally:
            self._is_reading = False
            self.forget_news()
        self._follow_later(self._interval)

    async def _read(self, look: LogLook) -> None:
        is_first = self._mode != FOLLOW and look.is_first
        self._source = self._source or LogSource(self._connection, self._workload)
        try:
            found = await self._source.read(look, None if is_first else self._seen(look.number))
            self._unshown.add(look, found)
            self._look_again_later(look)
        except Exception as error:  # logs are never a reason to fail
            self._miss(look, error)

    def _miss(self, look: LogLook, error: Exception) -> None:
        if look.is_first and self._agenda.forget(look):
            return
        if not isinstance(error, NotFound):
            self._complain(error)
        elif look.is_last and look.is_first:
            why = f"({short(error)})"
            self._say(f"the log of incarnation {look.number} is gone with its pod {why}")

    def _seen(self, number: int) -> LogPosition:
        """Return how far the log of an incarnation was read, shown or not."""
        shown = self._place if self._place_of == number else _NOWHERE
        return self._unshown.place(number) or shown

    async def show_found(self, look: LogLook, found: UnmaskedPart) -> None:
        """Show what a look has found, unless it is the worker's; never raises."""
        if self._is_workers(look):
            return
        if found.at >= look.until:
            self._ask_late(look)
            return
        try:
            assert self._source is not None, "what was read has a source"
            self._take(look, await self._source.shown(found))
        except Exception as error:
            self._complain(error)

    def _ask_late(self, look: LogLook) -> None:
        """Read again, by the pod's name, what was read when the next incarnation ran already."""
        if self._place_of != look.number:
            late = LogLook(look.number, look.moment, is_last=True, news=look.news)
            late.until = look.until
            self._ask(late)

    def forget_news(self) -> None:
        """Keep no news that nothing more is published with."""
        if not (self._mode == FOLLOW or self._is_reading or self._unshown):
            self._news = None

    def _look_again_later(self, look: LogLook) -> None:
        """What it says while it saves is the most valuable, and its last words come last."""
        if look.is_last and not look.is_late and look.pause <= _LAST_PAUSE:
            asyncio.get_running_loop().call_later(look.pause, self._look_again, look)
            look.pause *= 2

    def _look_again(self, look: LogLook) -> None:
        if self._agenda.still_leaves(look) and not self.is_closed:
            self._ask(look)

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
        whole = part.as_sentences(title(self._workload.name, look.number))
        lines = whole[1:] if self._headed == look.number else whole
        if not one_per_loop(LogFetches).allows(len(lines)):
            self._keep(whole)
        elif lines:
            self._headed = look.number
            tell(lines)

    def _keep(self, lines: Sequence[str]) -> None:
        kept = (*self._kept, *lines)
        self._kept = newest(kept, KEPT_LINES, KEPT_CHARACTERS)
        self._left_out += len(kept) - len(self._kept)

    def _complain(self, error: Exception) -> None:
        if not self._complaint:
            self._complaint = no_log(self._workload.name, error)
            self._say(f"{self._complaint}; the wait goes on")

    def _say(self, trouble: str) -> None:
        if one_per_loop(LogFetches).allows(1):
            log.warning("%s", trouble)
        else:
            self._keep([trouble])

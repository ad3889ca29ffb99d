"""
One list and one watch for all waits in a namespace, per kind.

A watch goes on from the version of the list's *first* page, so that nothing between the pages is
missed. It breaks often: a server that restarts cuts it and no longer knows its version (410, as a
line within a good reply). Then the list is read anew, and what it lacks is gone. Whatever mistake
this or the other side makes, a whole list every ten minutes ends it; and no wait takes its object
for gone by what it sees here, without reading the object itself.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from zlib import crc32

from msgspec import Raw

from airflow_runai.backends.kubernetes.api.changes import read_line
from airflow_runai.backends.kubernetes.api.lists import walk
from airflow_runai.backends.kubernetes.api.objects import decode_object, meta
from airflow_runai.backends.kubernetes.api.refusals import LastingRefusal
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.kubernetes.watching.bells import Bells
from airflow_runai.backends.patience import asked_pause
from airflow_runai.backends.throttle import LIST
from airflow_runai.backends.watched_set import BREATH, WOKEN_AT_ONCE, with_breaks
from airflow_runai.core.flow import Flow, NextLine, Open, Request, Sleep, now
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.objects import version, version_number
from airflow_runai.core.kubernetes.presence import Presence
from airflow_runai.core.kubernetes.queue_facts import owner_of
from airflow_runai.errors import Expired, Forbidden, RunaiError, Silent, Unreadable

Object = Mapping[str, Any]
log = logging.getLogger(__name__)

#: Seconds after which the whole list is read again.
RELIST = 600.0
#: Bookmarks come every 60 s, unless the kind has not changed anywhere since the list. A stream
#: without a line for so long is opened anew, in case its connection is dead. If even the second one
#: says nothing, and lines came before, the server may not know the version: it lists anew.
SILENCE = 90.0
#: A server is asked to end a stream after so many seconds; not all streams in the same second.
_LEAST_LIFE, _MORE_LIFE = 290, 50
#: Pauses (seconds) after failures in a row: the first, the longest before the next call, and the
#: longest before another whole list, which costs more; where it is forbidden.
_FIRST_PAUSE, _CALL_PAUSE, _LIST_PAUSE, _FORBIDDEN_PAUSE = 0.5, 10.0, 60.0, 60.0
#: A stream that ends within so many seconds without a line is a failure.
_FRUITLESS = 1.0
#: A watch that is refused is tried again after so many seconds, and so many if that is final.
_WATCH_SOON, _WATCH_LATER = 2.0, RELIST
#: Failures in a row after which the waits hear of them; a restart of a server is no outage.
_OUTAGE = 3


class Reflector:
    """
    Lists the objects of one kind in a namespace, watches them, and notes both in the facts.

    The word is client-go's.

    :param kind: as in manifests.
    :param path: of the collection.
    :param selector: parameters that choose objects, such as ``labelSelector``.
    :param facts: takes note of what is seen.
    :param interval: seconds between two lists where the right to watch is missing; may be changed.
    :ivar error: why nothing is seen at the moment; ``None`` while all is well.
    :ivar listed_at: epoch seconds of the last whole list; minus infinity before it.
    :ivar is_watching: whether changes come by a watch, and not by lists.
    """

    def __init__(
        self,
        kind: str,
        path: str,
        selector: Sequence[tuple[str, str]],
        facts: Mirror,
        bells: Bells,
        interval: float = 30.0,
    ) -> None:
        self.interval = interval
        self.error: RunaiError | None = None
        self.listed_at = -math.inf
        self.is_watching = False
        self._kind, self._path, self._selector = kind, path, tuple(selector)
        self._facts, self._bells = facts, bells
        self._version = ""
        # Calls in a row that failed; lists in a row that no watch could go on from.
        self._failures = self._barren = 0
        # Whether a line has come since the last list, and none from the stream before.
        self._has_heard = self._was_silent = False
        self._refused_list, self._refused_watch = LastingRefusal(), LastingRefusal()
        self._watch_at = -math.inf

    @property
    def has_listed(self) -> bool:
        """Whether there was a whole list."""
        return self.listed_at > -math.inf

    def run(self) -> Flow[None]:
        """Look, for ever."""
        while True:
            try:
                yield from self._list()
            except RunaiError as error:
                yield from self._fail(error, self._refused_list)
                continue
            moment = yield from now()
            if moment < self._watch_at:
                yield Sleep(min(self.interval, self._watch_at - moment), jitter=0.1)
                continue
            self.is_watching = True
            yield from self._watch()
            self.is_watching = False

    def fail(self, error: RunaiError) -> Flow[None]:
        """Tell all waits that nothing is seen."""
        self.error = error
        yield from with_breaks(self._bells.ring_all())

    def _list(self) -> Flow[None]:
        seen: set[str] = set()

        def take(items: Sequence[Raw]) -> Flow[None]:
            yield from self._recover()
            for begin in range(0, len(items), WOKEN_AT_ONCE):
                moment = yield Sleep(BREATH)
                self._take_all(items[begin : begin + WOKEN_AT_ONCE], seen, moment.now)

        self._version = yield from walk(self._path, self._selector, take)
        was_blind, self.listed_at = not self.has_listed, (yield from now())
        self._has_heard = self._was_silent = False
        lost = self._facts.complete(self._kind, seen, version_number(self._version), self.listed_at)
        if self._kind == "Job":
            self._facts.forget_ended(self._bells)
        self._refused_list.end()
        self._failures = 0
        # Whoever waits for what no list shows must look for it.
        unseen = [uid for uid in self._bells if uid not in seen] if self._shows_trainings else []
        rings = map(self._bells.ring, {*lost, *unseen})
        yield from with_breaks(self._bells.ring_all() if was_blind else rings)

    def _take_all(self, items: Sequence[Raw], seen: set[str], moment: float) -> None:
        for item in items:
            with suppress(Unreadable):  # gone for its own waits, which read it themselves
                found = decode_object(item)
                if self._is_ours(found):
                    seen.add(meta(found, "uid"))
                    self._see(found, Presence(seen=version(found), seen_at=moment))

    @property
    def _shows_trainings(self) -> bool:
        return self._kind in ("Job", "JobSet")

    def _is_ours(self, found: Object) -> bool:
        """Whether it belongs to a training that is known; a label says that of all other kinds."""
        return self._kind != "Workload" or owner_of(found) in self._facts

    def _see(self, found: Object, presence: Presence) -> None:
        self._bells.ring(self._facts.take(self._kind, found, presence))

    def _watch(self) -> Flow[None]:
        """Follow the changes until the list has to be read again."""
        while True:
            moment = yield from now()
            # A clock that was set back must not put off the next list.
            self.listed_at = min(self.listed_at, moment)
            left = self.listed_at + RELIST - moment
            if left < 1.0:
                return
            try:
                yield from self._stream(min(self._life(), int(left)))
            except (Expired, Silent, Unreadable) as error:
                if isinstance(error, Silent) and not (self._has_heard and self._was_silent):
                    self._was_silent = True
                    continue
                log.info("the watch ends, and all is listed again: %s", error)
                # What has happened since is not known. The first time is no reason to pause.
                yield Sleep(_pause(self._barren, _LIST_PAUSE), jitter=0.5)
                self._barren += 1
                return
            except Forbidden:
                yield from self._put_off_watch()
                return
            except RunaiError as error:
                yield from self._fail(error, self._refused_watch)

    def _stream(self, seconds: int) -> Flow[None]:
        request = self._watch_request(seconds)
        opened = yield Open(request, SILENCE)
        accept(request, opened)
        self._refused_watch.end()
        self._failures = 0
        yield from self._recover()
        has_lines = False
        while (reply := (yield NextLine())).body is not None:
            if reply.body.strip():
                self._take_line(reply.body, reply.now)
                has_lines = True
        if not has_lines and reply.now - opened.now < _FRUITLESS:
            raise Unreadable(f"GET {self._path} (watch): ends at once, without a line")

    def _take_line(self, line: bytes, moment: float) -> None:
        kind, found = read_line(line, self._path)
        self._barren, self._has_heard, self._was_silent = 0, True, False
        self._version = meta(found, "resourceVersion") or self._version
        seen = version(found)
        if kind != "BOOKMARK" and self._is_ours(found):
            is_left = kind == "DELETED"
            shown = Presence(left=seen, left_at=moment) if is_left else Presence(seen, moment)
            self._see(found, shown)
        self._facts.reach(self._kind, seen)

    def _watch_request(self, seconds: int) -> Request:
        params = [
            *self._selector,
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(seconds)),
            ("resourceVersion", self._version),
        ]
        return Request("GET", self._path, params, rank=LIST)

    def _life(self) -> int:
        return _LEAST_LIFE + crc32(self._path.encode()) % _MORE_LIFE

    def _put_off_watch(self) -> Flow[None]:
        moment = yield from now()
        is_final = self._refused_watch.is_final(moment)
        self._watch_at = moment + (_WATCH_LATER if is_final else _WATCH_SOON)

    def _fail(self, error: RunaiError, refusal: LastingRefusal) -> Flow[None]:
        """Take note of a failure, and pause."""
        self._failures += 1
        pause = _pause(self._failures, _CALL_PAUSE)
        is_outage = self._failures >= _OUTAGE
        if isinstance(error, Forbidden):
            is_outage = refusal.is_final((yield from now()))
            pause = _FORBIDDEN_PAUSE if is_outage else min(pause, 2.0)
        if is_outage:
            is_news = type(error) is not type(self.error)
            # Kept for long and shown to many: it must not hold on to what has raised it.
            self.error = error.with_traceback(None)
            if is_news:
                yield from self._tell()
        yield Sleep(max(pause, asked_pause(error)), jitter=0.5)

    def _recover(self) -> Flow[None]:
        """Take note of an answer, before anybody is woken by what it says."""
        was_blind, self.error = self.error is not None, None
        if was_blind:
            yield from self._tell()

    def _tell(self) -> Flow[None]:
        yield from with_breaks(self._bells.ring_all())


def _pause(number: int, longest: float) -> float:
    """Return how long to pause after so many failures in a row."""
    return min(_FIRST_PAUSE * 2.0 ** min(number - 1, 10), longest) if number else 0.0

"""
Tells people what happens to a workload, by the callbacks of its task.

Happenings of one kind are gathered for a while and told in one message: a storm of preemptions is
one message, not twenty. What happened before this process took up the wait was told by the process
before it, unless that is so short ago that it may have ended first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_runai.core.flow import Notice
from airflow_runai.core.happenings import (
    INTERRUPTION,
    LONG_QUEUE,
    RESUME,
    STALL,
    Happening,
    changes,
    new_changes,
    queueing_since,
    sentence,
)
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.outcome import STALLED, moments_from_json
from airflow_runai.core.phase_news import RECENT
from airflow_runai.core.texts import cut
from airflow_runai.core.timeline import Moment
from airflow_runai.deployment import configuration
from airflow_runai.hooks.sessions import one_per_loop
from airflow_runai.tasks.companions import Companion
from airflow_runai.tasks.messenger import Messenger
from airflow_runai.tasks.wait_metrics import WaitMetrics

#: So many of the newest moments are in a message.
EXCERPT = 10
#: The server's history may give another moment than the reading that came first, by these seconds.
HISTORY_LAG = 5.0
#: Which task it is about.
_TASK = ("dag_id", "task_id", "run_id", "map_index", "try_number")


class Voice:
    """
    A companion that gathers and tells.

    :param settings: plain data, as a trigger carries it: ``calls`` (by kind of happening),
        ``digest_seconds``, ``long_queue_seconds``, and ``about``, which goes into each message.
    :param name: of the workload.
    """

    def __init__(self, settings: JsonMapping, name: str) -> None:
        self._settings, self._name = settings, name
        self._told_until = time.time() - RECENT
        self._queue_told = 0.0
        self._news: JsonMapping = {}
        self._timeline: tuple[Moment, ...] = ()
        self._gathered: dict[str, list[Happening]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def hear(self, notice: Notice) -> None:
        """Look what is new."""
        if notice.kind not in ("timeline", "sighting", "end"):
            return
        self._news, self._timeline = notice.data, moments_from_json(notice.data)
        for happening in new_changes(self._timeline, self._told_until):
            self._gather(happening)
            self._told_until = max(self._told_until, happening.at)
        if notice.kind != "end":
            self._watch_the_queue()
        elif notice.data.get("status") == STALLED:
            reason = cut(str(notice.data.get("reason") or ""))
            self._gather(Happening(STALL, time.time(), reason=reason))

    def close(self) -> None:
        """Tell at once what is gathered."""
        self._cancel(LONG_QUEUE)
        for kind in tuple(self._gathered):
            self._tell(kind)

    def _gather(self, happening: Happening) -> None:
        kind = happening.kind
        if kind not in self._settings["calls"]:
            return
        self._gathered.setdefault(kind, []).append(happening)
        if kind in (INTERRUPTION, RESUME):
            self._later(kind, float(self._settings["digest_seconds"]))
        else:
            self._tell(kind)

    def _watch_the_queue(self) -> None:
        if LONG_QUEUE not in self._settings["calls"]:
            return
        self._cancel(LONG_QUEUE)
        since = queueing_since(self._timeline)
        # A longer history may show an earlier beginning of the same stretch.
        if since is not None and since > self._queue_told:
            left = since + float(self._settings["long_queue_seconds"]) - time.time()
            self._later(LONG_QUEUE, left)

    def _later(self, kind: str, seconds: float) -> None:
        if kind not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[kind] = loop.call_later(max(0.0, seconds), self._ring, kind)

    def _ring(self, kind: str) -> None:
        self._cancel(kind)
        if kind != LONG_QUEUE:
            self._tell(kind)
        elif (since := queueing_since(self._timeline)) is not None:
            self._queue_told = since
            self._gather(Happening(LONG_QUEUE, since))

    def _cancel(self, kind: str) -> None:
        if handle := self._timers.pop(kind, None):
            handle.cancel()

    def _tell(self, kind: str) -> None:
        self._cancel(kind)
        message = self._message(kind, self._as_known_now(self._gathered.pop(kind)))
        for callback in self._settings["calls"][kind]:
            one_per_loop(Messenger).post(callback, message)

    def _as_known_now(self, happened: list[Happening]) -> list[Happening]:
        """Return the same with what has come to light since: history may lag behind a reading."""
        first = happened[0]
        known = [
            one
            for one in changes(self._timeline)
            if one.kind == first.kind and one.at >= first.at - HISTORY_LAG
        ]
        return known if len(known) >= len(happened) else happened

    def _message(self, kind: str, happened: list[Happening]) -> JsonObject:
        phase = str(self._news.get("phase") or "")
        return {
            "event": kind,
            "sentence": sentence(self._name, happened, phase, time.time()),
            "count": len(happened),
            "preemptions": sum(one.preempted for one in happened),
            "first_at": happened[0].at,
            "last_at": happened[-1].at,
            "workload": self._name,
            "phase": phase,
            "clocks": dict(self._news.get("clocks") or {}),
            "timeline": list(self._news.get("timeline") or ())[-EXCERPT:],
            **self._settings["about"],
        }


def voice_settings(
    callbacks: Mapping[str, Sequence[JsonMapping]], workload: JsonMapping, ti: Any
) -> JsonObject | None:
    """
    Return what a :class:`Voice` needs, as plain data; ``None`` if there is nobody to call.

    :param callbacks: by argument (``on_resume``), rendered.
    :param workload: ``project`` and ``url``, as far as known.
    :param ti: the task instance that waits.
    """
    if not callbacks:
        return None
    return {
        "calls": {name.removeprefix("on_"): list(calls) for name, calls in callbacks.items()},
        "digest_seconds": configuration.seconds("digest_seconds"),
        "long_queue_seconds": configuration.seconds("long_queue_seconds"),
        "about": {
            "project": workload.get("project"),
            "link": workload.get("url"),
            **{name: getattr(ti, name, None) for name in _TASK},
        },
    }


def companions_of(voice: JsonMapping | None, name: str) -> list[Companion]:
    """
    Return what goes on beside each wait.

    :param voice: from :func:`voice_settings`.
    :param name: of the workload.
    """
    found: list[Companion] = [WaitMetrics()]
    if voice is not None:
        found.append(Voice(voice, name))
    return found

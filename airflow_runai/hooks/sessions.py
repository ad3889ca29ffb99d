"""
Connections on an event loop: one HTTP client, one login, one watcher, one pace for all waits.

A triggerer runs thousands of waits on one loop. A client per wait would cost 40–56 ms of that loop
each (certificates), a read per wait one call each, and a question to Airflow per wait six turns of
its supervisor. So all waits on one loop with the same settings share a :class:`Session`; the last
one out closes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

from airflow_runai.backends import drivers
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.throttle import Throttle
from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Flow, Notice, Reply, Request
from airflow_runai.core.workload import Workload
from airflow_runai.deployment.metrics import counted
from airflow_runai.errors import RefusedAgain, Unreachable
from airflow_runai.hooks.choice import AnySettings, platform_on_loop, settings_of
from airflow_runai.hooks.platform import AwaitingReader, NewsSource, Published
from airflow_runai.hooks.runai import RunaiHook

log = logging.getLogger(__name__)
T = TypeVar("T")

#: A connection: its id, or its settings where they are known.
ConnectionKey: TypeAlias = str | AnySettings
#: A connection that was looked up serves all who ask for it within so many seconds.
FRESH = 60.0
#: After a bug, the watcher rests for so many seconds.
REST = 60.0


class Session:
    """What all waits on one loop with the same settings share."""

    def __init__(self, settings: AnySettings) -> None:
        self.users = 0
        self._settings = settings
        self._opening: asyncio.Task[None] | None = None
        self._clock = ServerClock()
        # One bound method for thousands of waits.
        self._via = self._send
        self._looking: dict[NewsSource, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Find out how to reach the platform, once for all who come at about one time."""
        if self._opening is None or _has_failed(self._opening):
            self._opening = asyncio.create_task(self._open())
        # Shielded: whoever is cancelled leaves it to the others.
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        self._platform = await platform_on_loop(self._settings)
        self._platform.changed = self._look
        self._throttle = Throttle(self._platform.pace)
        self._client = self._platform.async_client()

    @property
    def backend(self) -> Backend:
        """What the platform can do, as flows for :meth:`run`."""
        return self._platform.backend

    def run(
        self, flow: Flow[T], on_notice: Callable[[Notice], Awaitable[None]] | None = None
    ) -> Coroutine[Any, Any, T]:
        """Drive a flow to its end, each request as who the connection says, and in its turn."""
        return drivers.arun(flow, self._client, on_notice, clock=self._clock, via=self._via)

    def _send(self, request: Request) -> Flow[Reply]:
        sent = self._platform.send(request)
        # Another server's pace, and how it answers, are no matter of this one's.
        return sent if request.is_elsewhere else counted(self._throttle.paced(sent))

    def watched(
        self, start: Workload, interval: float, published: Published | None = None
    ) -> AwaitingReader:
        """
        Return a reader to which news are brought; enter it to begin.

        :param interval: seconds between two looks, where nobody tells the news.
        :param published: see :meth:`WorkloadReader.published`.
        """
        return self._platform.watched(start, interval, published)

    def _look(self) -> None:
        """Let those look for whom somebody waits, and nobody else."""
        needed = self._platform.sources
        for source in [one for one in self._looking if one not in needed]:
            self._looking.pop(source).cancel()
        for source in needed:
            if source not in self._looking:
                self._looking[source] = asyncio.create_task(self._watch(source))

    async def _watch(self, source: NewsSource) -> None:
        while True:
            try:
                await self.run(source.run())
            except Exception as error:
                # A bug must not leave thousands of waits asleep for ever without a word.
                log.exception("the watcher failed; it goes on in %.0f s", REST)
                await self.run(source.fail(Unreachable(f"the watcher failed: {error!r}")))
                await asyncio.sleep(REST)

    async def close(self) -> None:
        """Close the HTTP client."""
        if self._opening and self._opening.cancel():
            return  # nobody waits for what it would have found out
        if self._opening and not _has_failed(self._opening):
            await self._client.aclose()


class _Shared:
    """
    What all code on one event loop shares: sessions, and connections that were looked up.

    :ivar others: see :func:`one_per_loop`.
    """

    def __init__(self) -> None:
        self.sessions: dict[AnySettings, Session] = {}
        self.lookups: dict[str, tuple[float, asyncio.Task[AnySettings]]] = {}
        self.others: dict[Any, Any] = {}


#: By event loop. A context variable only because the simulation plays several processes in one.
SHARED: ContextVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared]] = ContextVar(
    "sessions",
    default=WeakKeyDictionary(),  # noqa: B039  # shared on purpose
)


def shared() -> _Shared:
    """Return what the running event loop shares."""
    return SHARED.get().setdefault(asyncio.get_running_loop(), _Shared())


def one_per_loop(cls: type[T]) -> T:
    """Return the only object of a class on the running event loop; made without arguments."""
    others = shared().others
    if cls not in others:
        others[cls] = cls()
    return cast(T, others[cls])


class session:  # used like a function: ``async with session(...)``
    """
    Join the session of a connection on the running loop; leave it at the end of the block.

    :param connection: see :data:`ConnectionKey`.
    """

    __slots__ = ("_connection", "_joined", "_settings")

    def __init__(self, connection: ConnectionKey) -> None:
        self._connection = connection

    async def __aenter__(self) -> Session:
        known = self._connection
        self._settings = await _looked_up(known) if isinstance(known, str) else known
        sessions = shared().sessions
        self._joined = sessions.get(self._settings) or Session(self._settings)
        sessions[self._settings] = self._joined
        self._joined.users += 1
        try:
            await self._joined.open()
        except BaseException:
            await self._leave()
            raise
        return self._joined

    async def __aexit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if isinstance(error, RefusedAgain) and isinstance(self._connection, str):
            # Secrets are rotated while a training runs for weeks.
            shared().lookups.pop(self._connection, None)
        await self._leave()

    async def _leave(self) -> None:
        self._joined.users -= 1
        if self._joined.users == 0:
            shared().sessions.pop(self._settings, None)
            await self._joined.close()


async def _looked_up(runai_conn_id: str) -> AnySettings:
    """Return the settings of a connection, asked for once for all who come at about one time."""
    loop, lookups = asyncio.get_running_loop(), shared().lookups
    since, lookup = lookups.get(runai_conn_id, (0.0, None))
    if lookup is None or loop.time() - since >= FRESH or _has_failed(lookup):
        lookup = loop.create_task(_look_up(runai_conn_id))
        lookups[runai_conn_id] = (loop.time(), lookup)
    # Shielded: whoever is cancelled leaves it to the others.
    return await asyncio.shield(lookup)


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _look_up(runai_conn_id: str) -> AnySettings:
    return settings_of(await RunaiHook.aget_connection(runai_conn_id))

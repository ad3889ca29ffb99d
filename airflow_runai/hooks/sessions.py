"""
Connections on an event loop: one HTTP client, one token, one watcher, one pace for all waits.

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

from airflow.sdk.log import mask_secret

from airflow_runai.backends import clients, drivers
from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.throttle import Throttle
from airflow_runai.backends.tokens import Tokens
from airflow_runai.backends.watched import Watched
from airflow_runai.backends.watcher import Watcher
from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Flow, Notice, Reply, Request
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import Workload
from airflow_runai.deployment.metrics import counted
from airflow_runai.errors import RefusedAgain, Unreachable
from airflow_runai.hooks.choice import settings_of
from airflow_runai.hooks.runai import RunaiHook

log = logging.getLogger(__name__)
T = TypeVar("T")

#: A connection: its id, or its settings where they are known.
ConnectionKey: TypeAlias = str | Settings
#: A connection that was looked up serves all who ask for it within so many seconds.
FRESH = 60.0
#: After a bug, the watcher rests for so many seconds.
REST = 60.0


class Session:
    """What all waits on one loop with the same settings share."""

    def __init__(self, settings: Settings) -> None:
        self.users = 0
        self.backend: Backend = RunaiBackend(settings)
        self._client = clients.async_client(settings)
        self._tokens = Tokens(settings.client_id, settings.client_secret, on_token=mask_secret)
        self._clock = ServerClock()
        self._throttle = Throttle()
        self._watcher = Watcher()
        # One bound method for thousands of waits.
        self._via = self._send
        self._watching: asyncio.Task[None] | None = None

    def run(
        self, flow: Flow[T], on_notice: Callable[[Notice], Awaitable[None]] | None = None
    ) -> Coroutine[Any, Any, T]:
        """Drive a flow to its end, with a token on each request, each in its turn."""
        return drivers.arun(flow, self._client, on_notice, clock=self._clock, via=self._via)

    def _send(self, request: Request) -> Flow[Reply]:
        if request.is_elsewhere:
            # Its own pace, and how a cluster answers, are no matter of the control plane's.
            return self._tokens.send(request)
        return counted(self._throttle.paced(self._tokens.send(request)))

    def watched(
        self,
        start: Workload,
        interval: float,
        published: Callable[[], Flow[tuple[Moment, ...]]] | None = None,
    ) -> Watched:
        """
        Return a reader to which the watcher brings news; enter it to begin.

        :param interval: seconds between two looks.
        :param published: see :meth:`WorkloadReader.published`.
        """
        return Watched(start, interval, self, published)

    def join(self, wait: Watched) -> None:
        """Let the watcher bring news to a wait; begin to watch for the first one."""
        self._watcher.join(wait)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    def leave(self, wait: Watched) -> None:
        """Bring no more news; the last wait ends the watching."""
        if not self._watcher.leave(wait) and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch(self) -> None:
        while True:
            try:
                await self.run(self._watcher.run())
            except Exception as error:
                # A bug must not leave thousands of waits asleep for ever without a word.
                log.exception("the watcher failed; it goes on in %.0f s", REST)
                await self.run(self._watcher.fail(Unreachable(f"the watcher failed: {error!r}")))
                await asyncio.sleep(REST)

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._client.aclose()


class _Shared:
    """
    What all code on one event loop shares: sessions, and connections that were looked up.

    :ivar others: see :func:`one_per_loop`.
    """

    def __init__(self) -> None:
        self.sessions: dict[Settings, Session] = {}
        self.lookups: dict[str, tuple[float, asyncio.Task[Settings]]] = {}
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
        self._settings = known if isinstance(known, Settings) else await _looked_up(known)
        sessions = shared().sessions
        self._joined = sessions.get(self._settings) or Session(self._settings)
        sessions[self._settings] = self._joined
        self._joined.users += 1
        return self._joined

    async def __aexit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if isinstance(error, RefusedAgain) and isinstance(self._connection, str):
            # Secrets are rotated while a training runs for weeks.
            shared().lookups.pop(self._connection, None)
        self._joined.users -= 1
        if self._joined.users == 0:
            shared().sessions.pop(self._settings, None)
            await self._joined.close()


async def _looked_up(runai_conn_id: str) -> Settings:
    """Return the settings of a connection, asked for once for all who come at about one time."""
    loop, lookups = asyncio.get_running_loop(), shared().lookups
    since, lookup = lookups.get(runai_conn_id, (0.0, None))
    if lookup is None or loop.time() - since >= FRESH or _has_failed(lookup):
        lookup = loop.create_task(_look_up(runai_conn_id))
        lookups[runai_conn_id] = (loop.time(), lookup)
    # Shielded: whoever is cancelled leaves it to the others.
    return await asyncio.shield(lookup)


def _has_failed(lookup: asyncio.Task[Settings]) -> bool:
    return lookup.done() and (lookup.cancelled() or lookup.exception() is not None)


async def _look_up(runai_conn_id: str) -> Settings:
    return settings_of(await RunaiHook.aget_connection(runai_conn_id))

"""
Connections on an event loop: one HTTP client, one token and one list per project for all waits.

A triggerer runs hundreds of waits on one loop. A client per wait would cost 40–56 ms of that loop
each (certificates), and a read per wait one call each. So all waits on one loop with the same
settings share a :class:`Session`; the last one out closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from airflow.sdk.log import mask_secret

from airflow_runai.backends import clients, drivers
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.shared_reads import SharedReads
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.hooks.runai import RunaiHook, settings_of

T = TypeVar("T")


class Session:
    """What all waits on one loop with the same settings share."""

    def __init__(self, settings: Settings) -> None:
        self.users = 0
        self._client = clients.async_client(settings)
        self._tokens = Tokens(settings.client_id, settings.client_secret, on_token=mask_secret)
        self._clock = ServerClock()
        self._reads: dict[str, SharedReads] = {}

    async def run(
        self, flow: Flow[T], on_notice: Callable[[Notice], Awaitable[None]] | None = None
    ) -> T:
        """Drive a flow to its end, with a token on each request."""
        return await drivers.arun(
            self._tokens.authorized(flow), self._client, on_notice, clock=self._clock
        )

    @asynccontextmanager
    async def reads(self, project_id: str, max_age: float) -> AsyncIterator[SharedReads]:
        """Join the shared readings of a project for the duration of a wait."""
        shared = self._reads.setdefault(project_id, SharedReads(project_id, max_age))
        shared.join()
        try:
            yield shared
        finally:
            if shared.leave() == 0:
                self._reads.pop(project_id, None)

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._client.aclose()


_SESSIONS: dict[tuple[int, Settings], Session] = {}


@asynccontextmanager
async def session(runai_conn_id: str) -> AsyncIterator[Session]:
    """Join the session of a connection on the running loop; leave it at the end of the block."""
    settings = settings_of(await RunaiHook.aget_connection(runai_conn_id))
    key = (id(asyncio.get_running_loop()), settings)
    if key not in _SESSIONS:
        _SESSIONS[key] = Session(settings)
    joined = _SESSIONS[key]
    joined.users += 1
    try:
        yield joined
    finally:
        joined.users -= 1
        if joined.users == 0:
            _SESSIONS.pop(key, None)
            await joined.close()

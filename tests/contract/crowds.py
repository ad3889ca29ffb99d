"""
Many waits at once, served as those of one triggerer are: one event loop, one login, and what looks for all of them.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import httpx

from airflow_runai.backends import drivers
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.watching.awaited_trainings import AwaitedTraining
from airflow_runai.backends.kubernetes.watching.namespace_reflectors import ClusterReflectors
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.tokens import Tokens
from airflow_runai.backends.watched import Watched
from airflow_runai.backends.watcher import Watcher
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice, Reply, Request
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.waiting import wait
from airflow_runai.core.workload import Workload

T = TypeVar("T")
#: Seconds of a world's time that pass at once where the loop waits: it may be woken between two.
STEP = 0.25
#: Seconds of a world's time after which a crowd hangs.
LONGEST = 50_000.0


class NewsReader(WorkloadReader, AbstractContextManager["NewsReader"], Protocol):
    """A reader to which news come while it is entered."""


class Looker(Protocol):
    """Looks on behalf of many waits."""

    def run(self) -> Flow[None]:
        """Look, for ever."""


class Served(Protocol):
    """
    What a session has of its platform.

    :ivar changed: called whenever :attr:`sources` may have changed.
    """

    changed: Callable[[], object]

    @property
    def sources(self) -> Collection[Looker]:
        """What has to look now."""

    def watched(self, start: Workload, interval: float) -> NewsReader:
        """Return a reader for one wait."""

    def send(self, request: Request) -> Flow[Reply]:
        """Send a request as who the waits are."""


class ServedByLists(Served):
    """Run:ai: one watcher, and a token on each request."""

    def __init__(self, tokens: Tokens) -> None:
        self.changed: Callable[[], object] = lambda: None
        self._tokens, self._watcher = tokens, Watcher()

    @property
    def sources(self) -> Collection[Looker]:
        """The watcher."""
        return (self._watcher,)

    def watched(self, start: Workload, interval: float) -> NewsReader:
        """Return a reader that the watcher serves."""
        return Watched(start, interval, self._watcher)

    def send(self, request: Request) -> Flow[Reply]:
        """Send a request with the token."""
        return self._tokens.send(request)


class ServedByWatches(Served):
    """Kubernetes: a list and a watch of each kind; the client logs in."""

    def __init__(self, cluster: KnownCluster) -> None:
        self._cluster = cluster
        self.changed: Callable[[], object] = lambda: None
        self._reflectors = ClusterReflectors(lambda: self.changed())

    @property
    def sources(self) -> Collection[Looker]:
        """The reflectors of those that wait."""
        return self._reflectors.sources

    def watched(self, start: Workload, interval: float) -> NewsReader:
        """Return a reader that the reflectors serve."""
        return AwaitedTraining(start, self._cluster, interval, self._reflectors)

    def send(self, request: Request) -> Flow[Reply]:
        """Send a request."""
        return (yield request)


@dataclass(frozen=True)
class Seen:
    """
    The end of a wait.

    :param at: epoch seconds at which it had ended.
    """

    outcome: Outcome
    at: float

    @property
    def late(self) -> float:
        """Seconds between the last thing that happened and the end of the wait."""
        return self.at - self.outcome.timeline[-1].at


class Crowd:
    """
    Some waits on the running event loop.

    :param served: brings them news.
    :param client: is closed when all have ended.
    :param asked: gets the first line of each request.
    """

    def __init__(
        self, served: Served, client: httpx.AsyncClient, clock: ServerClock, asked: list[str]
    ) -> None:
        self._served, self._client, self._clock = served, client, clock
        self._asked = asked
        self._looking: dict[Looker, asyncio.Task[None]] = {}
        client.event_hooks["request"].append(self._note)

    async def outcomes(self, policy: WaitPolicy, workloads: Sequence[Workload]) -> list[Seen]:
        """Wait for workloads, each by a wait of its own."""
        waits: list[asyncio.Task[Any]] = []
        async with self._client:
            self._served.changed = self._look
            try:
                waits = [asyncio.create_task(self._seen(policy, one)) for one in workloads]
                self._look()
                seen: list[Seen] = await asyncio.gather(*waits)
                return seen
            finally:
                left = [*waits, *self._looking.values()]
                for one in left:
                    one.cancel()
                await asyncio.gather(*left, return_exceptions=True)

    async def _seen(self, policy: WaitPolicy, start: Workload) -> Seen:
        with self._served.watched(start, policy.poll_interval) as reader:
            return Seen(await self._run(wait(policy, reader, start)), self._clock.now())

    async def _run(self, flow: Flow[T]) -> T:
        send = self._served.send
        return await drivers.arun(flow, self._client, _hear, clock=self._clock, via=send)

    def _look(self) -> None:
        needed = self._served.sources
        for one in [one for one in self._looking if one not in needed]:
            self._looking.pop(one).cancel()
        for one in needed:
            if one not in self._looking:
                self._looking[one] = asyncio.create_task(self._run(one.run()))

    async def _note(self, request: httpx.Request) -> None:
        self._asked.append(f"{request.method} {request.url.raw_path.decode()}")


async def _hear(notice: Notice) -> None:
    """What a single wait tells is the matter of other cases."""


class Stuck(AssertionError):
    """A crowd does not come to an end."""


def in_steps(work: Callable[[], Awaitable[T]], pass_time: Callable[[float], object]) -> T:
    """
    Run work on an event loop that never waits: a world's time passes instead.

    :param pass_time: lets so many seconds of it pass; what happens then must not run flows.
    """
    loop = _SteppedLoop(pass_time)
    try:
        return loop.run_until_complete(work())
    finally:
        loop.close()


def beside(work: Callable[[], Awaitable[T]], act: Callable[[], object]) -> T:
    """
    Run work on an event loop in real time, while a thread lets happen what others do.

    :param act: is called again and again; takes its time.
    """

    async def main() -> T:
        working = asyncio.ensure_future(work())
        while not working.done():
            await asyncio.to_thread(act)
        return await working

    return asyncio.run(main())


class _Stepping(selectors.SelectSelector):
    def __init__(self, pass_time: Callable[[float], object]) -> None:
        super().__init__()
        self._pass_time = pass_time
        self.moment = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Without a time-out only the world can wake anybody.
        step = STEP if timeout is None else min(max(timeout, 0.0), STEP)
        if step:
            self._pass_time(step)
        self.moment += step
        if self.moment > LONGEST:
            raise Stuck(f"after {LONGEST:.0f} s somebody still waits")
        return []


class _SteppedLoop(asyncio.SelectorEventLoop):
    def __init__(self, pass_time: Callable[[float], object]) -> None:
        self._stepping = _Stepping(pass_time)
        super().__init__(self._stepping)

    def time(self) -> float:
        return self._stepping.moment

    def run_in_executor(  # type: ignore[override]  # as much of the signature as is used
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run it here: nobody knows how much of the world's time a thread takes."""
        done = self.create_future()
        done.set_result(func(*args))
        return done

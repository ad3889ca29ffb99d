"""
Performs the steps of a conversation with the control plane: only this code sends or sleeps.

The flow itself is driven by ``core/flow.py``. When the wire fails, the flow gets an
:class:`~airflow_runai.errors.Unreachable` at its ``yield``. Both ways, blocking and awaiting, treat
every flow alike (a test shows it).
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx

from airflow_runai.backends.received_bodies import ReceivedBody, give_back
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.streams import AwaitedLines, BlockingLines, bounded, opened
from airflow_runai.backends.wire import arguments, reply, wire_errors_as_unreachable
from airflow_runai.core.flow import (
    Flow,
    NextLine,
    Notice,
    Open,
    Reply,
    Request,
    Signal,
    Sleep,
    Step,
    Wait,
    adrive,
    drive,
)

T = TypeVar("T")

#: To read so many bytes and to decode them takes milliseconds; others on the event loop have their
#: turn in between, for so many seconds.
_LARGE, _BREATH = 200_000, 0.001
#: Seconds after which a large body has become small objects, also where thousands of waits begin.
_TAKEN_APART = 10.0


def pause(seconds: float) -> None:
    """Sleep by ``time.sleep`` as it is now, so that replacing it replaces this pause, too."""
    time.sleep(seconds)


def run(
    flow: Flow[T],
    client: httpx.Client,
    on_notice: Callable[[Notice], None] | None = None,
    sleep: Callable[[float], None] = pause,
    clock: ServerClock | None = None,
) -> T:
    """
    Run a conversation and block until it returns.

    :param on_notice: receives the flow's notices.
    :param sleep: called with seconds; may raise to end the flow early (a worker that is being
        stopped does that).
    :param clock: what earlier runs with this client have learned of the server's clock.
    :raises RuntimeError: inside a running event loop, which this would block; use :func:`arun`
        there.
    """
    _refuse_inside_a_loop()
    performer = _Blocking(client, on_notice, sleep, clock or ServerClock())
    return drive(flow, performer.perform, performer)


def arun(
    flow: Flow[T],
    client: httpx.AsyncClient,
    on_notice: Callable[[Notice], Awaitable[None]] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: ServerClock | None = None,
    via: Callable[[Request], Flow[Reply]] | None = None,
) -> Coroutine[Any, Any, T]:
    """
    Run a conversation on the running event loop; the parameters are those of :func:`run`.

    Cancellation closes the flow and passes through.

    :param via: a flow that sends a request (with a token, in its turn). Unlike a flow around the
        whole conversation it costs nothing while the conversation sleeps. A stream needs no turn.
    """
    performer = _Awaiting(client, on_notice, sleep, clock or ServerClock(), via)
    return adrive(flow, performer, performer)


@dataclass
class _Blocking:
    client: httpx.Client
    on_notice: Callable[[Notice], None] | None
    sleep: Callable[[float], None]
    clock: ServerClock
    stream: BlockingLines | None = None

    def perform(self, step: Step) -> Reply:
        match step:
            case Request():
                return self._send(step)
            case Open():
                return self._open(step)
            case NextLine():
                line = self.stream.next() if self.stream else None
                return Reply(0, self.clock.now(), line)
            case Notice() if self.on_notice:
                self.on_notice(step)
            case Sleep() if step.seconds > 0:
                self.sleep(_lengthened(step))
            case Wait():
                _wait_for(step)
        return Reply(0, self.clock.now())

    def _send(self, request: Request) -> Reply:
        sent = time.time()
        body = ReceivedBody(request, self.client.timeout.read)
        errors = wire_errors_as_unreachable(request, self.client.base_url)
        with errors, self.client.stream(**arguments(request)) as response:
            for piece in response.iter_bytes():
                body.add(piece)
        return reply(request, response, body.content, sent, self.clock)

    def _open(self, step: Open) -> Reply:
        self.release()
        request, sent, content = step.request, time.time(), bytearray()
        built = arguments(request) | opened(step, self.client.timeout)
        with wire_errors_as_unreachable(request, self.client.base_url):
            response = self.client.send(self.client.build_request(**built), stream=True)
            if response.is_success:
                self.stream = BlockingLines(step, response)
                return reply(request, response, content, sent, self.clock)
            with closing(response):
                for piece in response.iter_bytes():
                    content += piece
                    if bounded(content):
                        break
        return reply(request, response, content, sent, self.clock)

    def release(self) -> None:
        """Close the stream, if one is open."""
        stream, self.stream = self.stream, None
        if stream:
            stream.close()


@dataclass(slots=True)
class _Awaiting:
    # Called to perform a step: a method that is handed on costs memory, and thousands are.
    client: httpx.AsyncClient
    on_notice: Callable[[Notice], Awaitable[None]] | None
    sleep: Callable[[float], Awaitable[None]]
    clock: ServerClock
    via: Callable[[Request], Flow[Reply]] | None = None
    stream: AwaitedLines | None = None

    def __call__(self, step: Step) -> Awaitable[Reply]:
        # Not a coroutine: thousands sleep here, and each frame costs memory.
        match step:
            case Request() if self.via:
                return adrive(self.via(step), replace(self, via=None, stream=None))
            case Request():
                return self._send(step)
            case Open():
                return self._open(step)
            case NextLine():
                return self._line()
            case Wait():
                return _Heard(step, self.clock)
        return self._pass(step)

    async def _pass(self, step: Step) -> Reply:
        match step:
            case Notice() if self.on_notice:
                await self.on_notice(step)
            case Sleep() if step.seconds > 0:
                await self.sleep(_lengthened(step))
        return Reply(0, self.clock.now())

    async def _send(self, request: Request) -> Reply:
        sent = time.time()
        # Pieces that are joined at the end would take twice the memory.
        body = ReceivedBody(request, self.client.timeout.read)
        with wire_errors_as_unreachable(request, self.client.base_url):
            # httpx's response and its stream refer to each other: a body that it holds stays until
            # the garbage collector comes round, and bodies of lists are megabytes.
            async with self.client.stream(**arguments(request)) as response:
                async for piece in response.aiter_bytes():
                    body.add(piece)
        if len(body.content) > _LARGE:
            asyncio.get_running_loop().call_later(_TAKEN_APART, give_back)
            await asyncio.sleep(_BREATH)
        return reply(request, response, body.content, sent, self.clock)

    async def _open(self, step: Open) -> Reply:
        if closing_one := self.release():
            await closing_one
        request, sent, content = step.request, time.time(), bytearray()
        built = arguments(request) | opened(step, self.client.timeout)
        with wire_errors_as_unreachable(request, self.client.base_url):
            response = await self.client.send(self.client.build_request(**built), stream=True)
            if response.is_success:
                self.stream = AwaitedLines(step, response)
                return reply(request, response, content, sent, self.clock)
            async with aclosing(response):
                async for piece in response.aiter_bytes():
                    content += piece
                    if bounded(content):
                        break
        return reply(request, response, content, sent, self.clock)

    async def _line(self) -> Reply:
        line = await self.stream.next() if self.stream else None
        return Reply(0, self.clock.now(), line)

    def release(self) -> Awaitable[None] | None:
        """Close the stream, if one is open."""
        stream, self.stream = self.stream, None
        return stream.close() if stream else None


def _wait_for(step: Wait) -> None:
    is_set = threading.Event()
    step.signal.add_listener(is_set.set)
    try:
        is_set.wait(None if step.seconds == math.inf else step.seconds)
    finally:
        step.signal.remove_listener(is_set.set)


class _Heard(asyncio.Future[Reply]):
    """
    Done when a signal is set or the time is up; once cancelled, it listens no more.

    Not a coroutine around a future: thousands sleep here.
    """

    __slots__ = ("_clock", "_signal", "_timer")

    def __init__(self, step: Wait, clock: ServerClock) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop=loop)
        self._clock, self._timer = clock, None
        if step.seconds != math.inf:
            self._timer = loop.call_later(step.seconds, self._end)
        self._signal: Signal | None = step.signal
        step.signal.add_listener(self)

    def __call__(self) -> None:
        """Hear the signal, also from another thread, in which the flow that sets it may run."""
        self.get_loop().call_soon_threadsafe(self._end)

    def cancel(self, msg: Any = None) -> bool:
        self._leave()
        return super().cancel(msg)

    def _end(self) -> None:
        self._leave()
        if not self.done():
            self.set_result(Reply(0, self._clock.now()))

    def _leave(self) -> None:
        signal, self._signal = self._signal, None
        if signal:
            signal.remove_listener(self)
        if self._timer:
            self._timer.cancel()


def _lengthened(step: Sleep) -> float:
    return step.seconds * (1 + step.jitter * random.random())


def _refuse_inside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("drivers.run blocks; inside a running event loop use drivers.arun")

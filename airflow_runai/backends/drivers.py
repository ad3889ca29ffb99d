"""
The two drivers of flows: the only code in this package that sends or sleeps.

A flow yields what it wants; a driver does it and sends the reply back in. When the wire fails, the
flow gets an :class:`~airflow_runai.errors.Unreachable` at its ``yield``. Both drivers treat every
flow alike (a test shows it).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar, cast

import httpx

from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.core.flow import Flow, Notice, Reply, Request, Sleep, Step
from airflow_runai.core.texts import TEXT_LIMIT, cut
from airflow_runai.errors import Unreachable, Untrusted

T = TypeVar("T")


def pause(seconds: float) -> None:
    """
    Sleep by the clock that ``time`` has now, so that whoever replaces it replaces this pause, too.
    """
    time.sleep(seconds)


def run(
    flow: Flow[T],
    client: httpx.Client,
    tell: Callable[[Notice], None] | None = None,
    sleep: Callable[[float], None] = pause,
    clock: ServerClock | None = None,
) -> T:
    """
    Drive a flow and block until it returns.

    :param tell: receives what the flow tells on the way.
    :param sleep: called with seconds; may raise to end the flow early (a worker that is being
        stopped does that).
    :param clock: what earlier runs with this client have learned of the server's clock.
    :raises RuntimeError: inside a running event loop, which this would block; use :func:`arun`
        there.
    """
    _refuse_inside_a_loop()
    advance: Callable[[], Step] = lambda: next(flow)  # noqa: E731 (a def narrows no type)
    clock = clock or ServerClock()
    try:
        while True:
            step = advance()
            try:
                reply = _do(step, client, tell, sleep, clock)
            except Unreachable as error:
                advance = _thrower(flow, error)
            else:
                advance = _sender(flow, reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        flow.close()


async def arun(
    flow: Flow[T],
    client: httpx.AsyncClient,
    tell: Callable[[Notice], Awaitable[None]] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: ServerClock | None = None,
) -> T:
    """
    Drive a flow on the running event loop; the parameters are those of :func:`run`.

    Cancellation closes the flow and passes through.
    """
    advance: Callable[[], Step] = lambda: next(flow)  # noqa: E731 (a def narrows no type)
    clock = clock or ServerClock()
    try:
        while True:
            step = advance()
            try:
                reply = await _ado(step, client, tell, sleep, clock)
            except Unreachable as error:
                advance = _thrower(flow, error)
            else:
                advance = _sender(flow, reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        flow.close()


def _sender(flow: Generator[Step, Reply, Any], reply: Reply) -> Callable[[], Step]:
    return lambda: flow.send(reply)


def _thrower(flow: Generator[Step, Reply, Any], error: Unreachable) -> Callable[[], Step]:
    return lambda: flow.throw(error)


def _do(
    step: Step,
    client: httpx.Client,
    tell: Callable[[Notice], None] | None,
    sleep: Callable[[float], None],
    clock: ServerClock,
) -> Reply:
    if isinstance(step, Request):
        sent = time.time()
        try:
            return _reply(client.request(**_arguments(step)), sent, clock)
        except httpx.HTTPError as error:
            raise _unreachable(error, step, client.base_url) from error
    if isinstance(step, Notice) and tell:
        tell(step)
    if isinstance(step, Sleep) and step.seconds > 0:
        sleep(_lengthened(step))
    return Reply(0, clock.now())


async def _ado(
    step: Step,
    client: httpx.AsyncClient,
    tell: Callable[[Notice], Awaitable[None]] | None,
    sleep: Callable[[float], Awaitable[None]],
    clock: ServerClock,
) -> Reply:
    if isinstance(step, Request):
        sent = time.time()
        try:
            return _reply(await client.request(**_arguments(step)), sent, clock)
        except httpx.HTTPError as error:
            raise _unreachable(error, step, client.base_url) from error
    if isinstance(step, Notice) and tell:
        await tell(step)
    if isinstance(step, Sleep) and step.seconds > 0:
        await sleep(_lengthened(step))
    return Reply(0, clock.now())


def _arguments(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.path,
        "params": list(request.params) or None,
        "json": request.json,
        "data": request.form,
        "headers": dict(request.headers),
    }


def _lengthened(step: Sleep) -> float:
    return step.seconds * (1 + step.jitter * random.random())


def _reply(response: httpx.Response, sent: float, clock: ServerClock) -> Reply:
    clock.learn(response.headers.get("date"), sent)
    try:
        body = response.json() if response.content else None
    except (ValueError, RecursionError):
        body = None
    # Only the beginning: a list of hundreds of workloads is megabytes, and this runs on the event
    # loop.
    text = response.content[: 4 * TEXT_LIMIT].decode("utf-8", "replace")
    return Reply(response.status_code, clock.now(), body, cut(text), dict(response.headers))


def _unreachable(error: httpx.HTTPError, request: Request, base: httpx.URL) -> Unreachable:
    where = f"{request.method} {base}{request.path.lstrip('/')}"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Untrusted(
            f"{where}: the server's certificate is not trusted ({cut(str(error), 120)}); "
            "name its CA file in the connection, or ask who answers at this address"
        )
    remedy = "; check the connection's host" if isinstance(error, httpx.ConnectError) else ""
    return Unreachable(
        f"{where}: {type(error).__name__}: {cut(str(error)) or 'no details'}{remedy}"
    )


def _refuse_inside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("drivers.run blocks; inside a running event loop use drivers.arun")

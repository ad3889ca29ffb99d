"""
Calls what people want to be told by, beside all waits of an event loop and at no risk to them.

Awaited ones share the loop, a few at a time. The others have one thread. A call that takes longer
than :data:`SECONDS` is given up; a thread cannot be ended, so it is left behind, and while too many
of them hang, no further one is begun.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.texts import cut

log = logging.getLogger(__name__)
T = TypeVar("T")

#: After so many seconds, a call is given up.
SECONDS = 30.0
#: So many calls are awaited at a time.
AT_A_TIME = 8
#: So many calls may be waiting for their turn; more are dropped, with a line in the log.
MAX_OPEN = 1000
#: So many threads may hang.
MAX_HANGING = 4


class Messenger:
    """
    Makes the calls of all waits on one event loop.

    :param seconds: after so many, a call is given up.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._open: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._thread = asyncio.Lock()
        self._threads = _Threads()

    def post(self, callback: JsonMapping, message: JsonMapping) -> None:
        """
        Call some time soon.

        :param callback: ``path`` and ``kwargs``, see ``tasks/callbacks.py``.
        :param message: its ``context``.
        """
        if len(self._open) >= MAX_OPEN:
            log.warning("%s is not called: %d calls wait already", callback["path"], MAX_OPEN)
            return
        task = asyncio.create_task(self._call(callback, message))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _call(self, callback: JsonMapping, message: JsonMapping) -> None:
        path = callback["path"]
        try:
            async with self._turn:
                target = await self._in_thread(partial(_imported, path))
                await self._made(target, dict(callback["kwargs"]), dict(message))
        except asyncio.TimeoutError:
            log.warning("%s was given up after %.0f s; the wait goes on", path, self._seconds)
        except Exception as error:
            words = f"{type(error).__name__}: {cut(str(error))}"
            log.warning("%s failed (%s); the wait goes on", path, words)

    async def _made(self, target: Any, kwargs: dict[str, Any], message: dict[str, Any]) -> None:
        if inspect.iscoroutinefunction(target):
            await asyncio.wait_for(target(context=message, **kwargs), self._seconds)
        elif _is_notifier(target):
            notifier = target(**kwargs)
            if _can_await(target):
                notifier.context = message
                await asyncio.wait_for(_awaited(notifier), self._seconds)
            else:
                await self._in_thread(partial(notifier, message))
        else:
            await self._in_thread(partial(target, context=message, **kwargs))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Call in the one thread; raises ``TimeoutError`` if that takes too long."""
        async with self._thread:
            if self._threads.hanging() >= MAX_HANGING:
                raise RuntimeError(f"{MAX_HANGING} earlier calls hang")
            loop, within = asyncio.get_running_loop(), copy_context()
            return await asyncio.wait_for(
                loop.run_in_executor(self._threads, partial(within.run, call)), self._seconds
            )


class _Threads(Executor):
    """A thread for each call; unlike those of a pool, one that hangs keeps no process alive."""

    def __init__(self) -> None:
        self._alive: list[threading.Thread] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        future.set_running_or_notify_cancel()
        thread = threading.Thread(target=work, name="runai-callbacks", daemon=True)
        self._alive.append(thread)
        thread.start()
        return future

    def hanging(self) -> int:
        """Return how many threads have not ended."""
        self._alive = [thread for thread in self._alive if thread.is_alive()]
        return len(self._alive)


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _is_notifier(target: Any) -> bool:
    from airflow.sdk import BaseNotifier

    return isinstance(target, type) and issubclass(target, BaseNotifier)


def _can_await(kind: Any) -> bool:
    from airflow.sdk import BaseNotifier

    return kind.async_notify is not BaseNotifier.async_notify


async def _awaited(notifier: Awaitable[T]) -> T:
    return await notifier

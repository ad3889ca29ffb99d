"""
Calls what people want to be told by, beside all waits of an event loop and at no risk to them.

Awaited ones share the loop, a few at a time. The others have one thread, and so have imports. A
call that takes longer than :data:`SECONDS` is given up. Neither a thread nor a coroutine that
catches its cancellation can be ended, so both are left behind; while too many threads hang, no
further one is begun.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.texts import cut, said

log = logging.getLogger(__name__)
T = TypeVar("T")

#: After so many seconds, a call is given up.
SECONDS = 30.0
#: So many calls are awaited at a time.
AT_A_TIME = 8
#: So many calls may wait for their turn, and as many for the thread; more are dropped, with a line.
MAX_OPEN = 1000
#: So many threads may hang.
MAX_HANGING = 4


class _Failed(Exception):
    """What a call raised, in words: the exception itself might end the event loop."""


class Messenger:
    """
    Makes the calls of all waits on one event loop.

    :param seconds: after so many, a call is given up.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._open: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._calls, self._imports = _Thread(seconds), _Thread(seconds)

    def post(self, callback: JsonMapping, message: JsonMapping) -> None:
        """
        Call some time soon.

        :param callback: ``path`` and ``kwargs``, see ``tasks/callbacks.py``.
        :param message: its ``context``.
        """
        if len(self._open) - self._calls.waiting >= MAX_OPEN:
            log.warning("%s is not called: %d calls wait already", callback["path"], MAX_OPEN)
            return
        self._keep(asyncio.create_task(self._call(callback, message)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _call(self, callback: JsonMapping, message: JsonMapping) -> None:
        path = callback["path"]
        try:
            target = await self._target(path)
            await self._made(target, dict(callback["kwargs"]), dict(message))
        except asyncio.TimeoutError:
            log.warning("%s was given up after %g s; the wait goes on", path, self._seconds)
        except Exception as error:
            words = str(error) if isinstance(error, _Failed) else _words(error)
            log.warning("%s failed (%s); the wait goes on", path, words)

    async def _target(self, path: str) -> Any:
        """Import what to call, unless another has: an import may take its time, or hang."""
        module, _, name = path.rpartition(".")
        known = getattr(sys.modules.get(module), "__dict__", {})
        if name in known:
            return known[name]
        # A second import of a module would wait for the first.
        return await self._imports.run(partial(_imported, module, name), module, at_most=1)

    async def _made(self, target: Any, kwargs: dict[str, Any], message: dict[str, Any]) -> None:
        if inspect.iscoroutinefunction(target):
            await self._awaited(partial(target, context=message, **kwargs))
        elif _is_notifier(target) and _can_await(target):
            await self._awaited(partial(_notifier, target, kwargs, message))
        elif _is_notifier(target):
            await self._calls.run(lambda: target(**kwargs)(message), "runai-callbacks")
        else:
            call = partial(target, context=message, **kwargs)
            result = await self._calls.run(call, "runai-callbacks")
            if inspect.isawaitable(result):  # of a decorated coroutine function, for example
                await self._awaited(lambda: result)

    async def _awaited(self, begin: Callable[[], Awaitable[Any]]) -> None:
        """Await on this loop; raises ``TimeoutError`` if that takes too long."""
        async with self._turn:
            task = asyncio.create_task(_guarded(begin))
            self._keep(task)
            try:
                # Unlike `wait_for`, this does not wait for one that catches its cancellation.
                done, _ = await asyncio.wait({task}, timeout=self._seconds)
            finally:
                task.cancel()
            if not done:
                task.add_done_callback(_ignore)
                raise asyncio.TimeoutError
            if task.cancelled():
                raise _Failed("it cancelled itself")
            task.result()


async def _guarded(begin: Callable[[], Awaitable[Any]]) -> None:
    """Await, and raise nothing that asyncio would pass to the loop, such as ``SystemExit``."""
    try:
        await begin()
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        raise _Failed(_words(error)) from None


def _ignore(task: asyncio.Task[None]) -> None:
    """Take the exception of a task that was given up, or asyncio logs that nobody did."""
    if not task.cancelled():
        task.exception()


class _Thread:
    """
    Makes one call at a time in a thread; one that hangs is left behind, and keeps no process alive.

    :param seconds: after so many, a call is given up.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._alive: list[threading.Thread] = []
        #: Calls that wait for the thread, or are in it.
        self.waiting = 0

    async def run(self, call: Callable[[], T], name: str, at_most: int = MAX_HANGING) -> T:
        """
        Call; raises ``TimeoutError`` if that takes too long.

        :param name: of the thread.
        :param at_most: so many threads of that name may hang.
        """
        if self.waiting >= MAX_OPEN:
            raise _Failed(f"{MAX_OPEN} calls wait already")
        self.waiting += 1
        try:
            async with self._turn:
                self._check(name, at_most)
                loop, within = asyncio.get_running_loop(), partial(copy_context().run, call)
                future = loop.run_in_executor(_NewThread(name, self._alive), within)
                return await asyncio.wait_for(future, self._seconds)
        finally:
            self.waiting -= 1

    def _check(self, name: str, at_most: int) -> None:
        self._alive = [thread for thread in self._alive if thread.is_alive()]
        if len(self._alive) >= MAX_HANGING:
            raise _Failed(f"{MAX_HANGING} earlier calls hang")
        if sum(thread.name == name for thread in self._alive) >= at_most:
            raise _Failed(f"an earlier import of {name} hangs")


class _NewThread(Executor):
    """
    A thread for one call; unlike those of a pool, one that hangs keeps no process alive.

    :param alive: takes the thread.
    """

    def __init__(self, name: str, alive: list[threading.Thread]) -> None:
        self._name, self._alive = name, alive

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        work = (future, partial(fn, *args, **kwargs))
        thread = threading.Thread(target=_work, args=work, name=self._name, daemon=True)
        self._alive.append(thread)
        thread.start()
        return future


def _work(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(_Failed(_words(error)))


def _words(error: BaseException) -> str:
    try:
        return said(type(error).__name__, cut(str(error)))
    except Exception:  # its own text may have bugs, too
        return type(error).__name__


def _imported(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def _is_notifier(target: Any) -> bool:
    from airflow.sdk import BaseNotifier

    return isinstance(target, type) and issubclass(target, BaseNotifier)


def _can_await(kind: Any) -> bool:
    from airflow.sdk import BaseNotifier

    return kind.async_notify is not BaseNotifier.async_notify


def _notifier(kind: Any, kwargs: dict[str, Any], message: dict[str, Any]) -> Any:
    notifier = kind(**kwargs)
    notifier.context = message
    return notifier

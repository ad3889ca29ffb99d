"""
Simulated operating system processes: each has a clock of its own, counts its steps, and may die at any of them.

Blocking code (operators, sensors) runs in a greenlet: where it would block, it hands an awaitable
to the event loop and goes on when that is done. A step is whatever takes time: a request, a sleep,
a question to Airflow.
"""

from __future__ import annotations

import asyncio
import contextvars
from asyncio import events
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import greenlet  # type: ignore[import-untyped]  # it ships no types, and is a dependency of Airflow's only

from airflow_runai.hooks.sessions import SHARED
from airflow_runai.tasks.published_timelines import PUBLISHED
from tests.simulation.clock import BEGIN, CLOCK

T = TypeVar("T")

#: Processes that are the same in every history, and that nothing befalls: no history names them by
#: a number.
REAPER, API_SERVER = ASIDE = ("reaper", "api-server")

_HERE: contextvars.ContextVar[Process | None] = contextvars.ContextVar(
    "simulated process", default=None
)


@dataclass(eq=False)
class Process:
    """
    A worker, a triggerer, or one of those beside them.

    :param number: counts the processes of a simulation from 1; a history names them by it. Those
        aside have 0.
    :param skew: seconds by which its clock is wrong.
    :param troubles: what befalls it, by the number of its step.
    :param sessions: what its code shares, by event loop; another process has its own.
    :param timelines: the same.
    """

    name: str
    number: int
    loop: asyncio.AbstractEventLoop
    skew: float = 0.0
    troubles: Mapping[int, str] = field(default_factory=dict)
    alive: bool = True
    steps: int = 0
    on_death: Callable[[], None] = lambda: None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    sessions: WeakKeyDictionary[Any, Any] = field(default_factory=WeakKeyDictionary)
    timelines: WeakKeyDictionary[Any, Any] = field(default_factory=WeakKeyDictionary)

    def now(self) -> float:
        return BEGIN + self.loop.time() + self.skew

    def elapsed(self) -> float:
        return self.loop.time()

    def sleep(self, seconds: float) -> None:
        blocking(self.nap(seconds))

    async def nap(self, seconds: float) -> None:
        self.step()
        await asyncio.sleep(seconds)

    def step(self) -> str:
        """
        Count one more step.

        :return: what goes wrong with it; empty if nothing does.
        """
        if not self.alive:
            raise asyncio.CancelledError
        self.steps += 1
        trouble = self.troubles.get(self.steps, "")
        if trouble == "dies":
            self.die()
            raise asyncio.CancelledError
        return trouble

    def die(self) -> None:
        """Stop existing: nothing of it runs any more, no ``finally`` reaches anybody."""
        if not self.alive:
            return
        self.alive = False
        for task in list(self.tasks):
            task.cancel()
        self.on_death()

    def start(
        self, work: Coroutine[Any, Any, T], *also: tuple[contextvars.ContextVar[Any], Any]
    ) -> asyncio.Task[T]:
        """Run ``work`` as part of this process; ``also`` are context variables of its own."""
        context = contextvars.copy_context()
        own: tuple[tuple[contextvars.ContextVar[Any], Any], ...] = (
            (CLOCK, self),
            (_HERE, self),
            (SHARED, self.sessions),
            (PUBLISHED, self.timelines),
            *also,
        )
        for variable, value in own:
            context.run(variable.set, value)
        return context.run(self.loop.create_task, work)


def here() -> Process | None:
    """Return the process whose code is running."""
    return _HERE.get()


def adopt_tasks(loop: asyncio.AbstractEventLoop, work: Any, **details: Any) -> asyncio.Task[Any]:
    """Make a task, as the event loop's task factory: it belongs to the process that made it."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **details)
    owner = here()
    if owner is not None:
        owner.tasks.add(task)
        task.add_done_callback(owner.tasks.discard)
    return task


async def in_greenlet(work: Callable[[], T]) -> T:
    """Run blocking code; whatever it hands to :func:`blocking` is awaited here."""
    body = greenlet.greenlet(work)
    body.gr_context = contextvars.copy_context()
    step = _switch(body)
    while not body.dead:
        try:
            value = await step
        except BaseException as error:
            step = _switch(body, error)
        else:
            step = _switch(body, None, value)
    return cast(T, step)


def _switch(body: greenlet.greenlet, error: BaseException | None = None, *value: Any) -> Any:
    """Let the blocking code go on; it must not see the event loop, in which it could not block."""
    loop = asyncio.get_running_loop()
    events._set_running_loop(None)
    try:
        return body.throw(error) if error is not None else body.switch(*value)
    finally:
        events._set_running_loop(loop)


def blocking(awaitable: Awaitable[T]) -> T:
    """Wait, in blocking code, for something that takes virtual time."""
    parent = greenlet.getcurrent().parent
    assert parent is not None, "blocking code runs in a greenlet"
    return cast(T, parent.switch(awaitable))

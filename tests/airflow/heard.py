"""What is called when something happens; all write down what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Coroutine
from typing import Any

from airflow.sdk import BaseNotifier

#: Who was called, with which arguments, and what was told.
CALLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
RELEASED = threading.Event()


def note(context: dict[str, Any], **kwargs: Any) -> None:
    CALLS.append(("note", {**kwargs, "thread": threading.current_thread().name}, context))


async def anote(context: dict[str, Any], **kwargs: Any) -> None:
    await asyncio.sleep(0)
    CALLS.append(("anote", kwargs, context))


def broken(context: dict[str, Any]) -> None:
    CALLS.append(("broken", {}, context))
    raise ZeroDivisionError("a\x1b[31m bug")


async def endless(context: dict[str, Any]) -> None:
    await asyncio.Event().wait()


def hanging(context: dict[str, Any]) -> None:
    RELEASED.wait()


def leaving(context: dict[str, Any]) -> None:
    sys.exit(3)


async def aleaving(context: dict[str, Any]) -> None:
    await asyncio.sleep(0)
    raise KeyboardInterrupt


def exhausted(context: dict[str, Any]) -> None:
    next(iter(()))


async def cancelling(context: dict[str, Any]) -> None:
    raise asyncio.CancelledError


async def stubborn(context: dict[str, Any]) -> None:
    """Cannot be cancelled."""
    while not RELEASED.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)


def decorated(context: dict[str, Any]) -> Coroutine[Any, Any, None]:
    return anote(context)


def decorated_badly(context: dict[str, Any]) -> Coroutine[Any, Any, None]:
    return aleaving(context)


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def failing_mutely(context: dict[str, Any]) -> None:
    raise Mute


class LeavingPager(BaseNotifier):
    """Ends the process that it is made in."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if RELEASED.is_set():
            sys.exit(4)

    async def async_notify(self, context: Any) -> None: ...


class Pager(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text: str, channel: str = "ops", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text
        self.channel = channel

    def notify(self, context: Any) -> None:
        CALLS.append(("Pager", {"text": self.text, "channel": self.channel}, dict(context)))


class AwaitedPager(Pager):
    async def async_notify(self, context: Any) -> None:
        CALLS.append(("AwaitedPager", {"text": self.text}, dict(context)))


class Forgetful(BaseNotifier):
    """Keeps its argument where nobody finds it."""

    def __init__(self, channel: str = "ops") -> None:
        super().__init__()
        self._channel = channel


class Outer:
    class Inner(Pager):
        pass

    def method(self, context: dict[str, Any]) -> None:
        pass

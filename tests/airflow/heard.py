"""What is called when something happens; all write down what they are told."""

from __future__ import annotations

import asyncio
import threading
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

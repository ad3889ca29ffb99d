"""Waiting for room in a project where nobody keeps a line, and the words for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from airflow_runai.core.flow import Flow, Notice, Sleep, now
from airflow_runai.core.room import Need, ProjectRoom
from airflow_runai.errors import Unreachable, Untrusted

#: Looks once.
Look: TypeAlias = Callable[[], Flow[ProjectRoom]]


def until_room(
    look: Look, need: Need, interval: float, deadline: float, digest: str = ""
) -> Flow[ProjectRoom | None]:
    """
    Wait for room where nobody keeps a line: in a worker, which knows of no other.

    Workers that began together must not look together, or all of them would see the same free GPU:
    each looks at moments of its own, about an interval apart.

    :param deadline: epoch seconds.
    :param digest: of the task that waits.
    :return: ``None`` after the deadline.
    """
    last_news = ""
    while True:
        yield Sleep(interval / 10, jitter=10.0)
        try:
            found = yield from look()
        except Untrusted:
            raise
        except Unreachable as error:
            news = f"the room cannot be read ({error}); still waiting"
        else:
            full = need.full(found, digest)
            if need.hopeless(found) or (need.fits(found) and not full):
                return found
            news = no_room(need, found, full)
        if news != last_news:
            yield Notice("room", news)
            last_news = news
        if (yield from now()) >= deadline:
            return None


def no_room(need: Need, found: ProjectRoom, full: str = "") -> str:
    """Say what is waited for; ``full`` says who has all the slots, if that is why."""
    why = full or need.too_large(found) or str(found)
    return f"waiting for room for {need} ({need.when}): {why}"


def unknown(missing: Iterable[str]) -> str:
    """Say which figures a server does not tell."""
    return f"{' and '.join(missing)} cannot be read here"
